"""The bot of a recording: what it said, when it said it, and what the caller was expected to say then."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import numpy as np

from voicebot.core.dialogue import Heard, Opening, Silent, Text
from voicebot.core.dialplan import parse
from voicebot.core.timeline import Record
from voicebot.core.words import Words
from voicebot.replay.clock import clock, run
from voicebot.replay.recorded_bot import NAMELESS, Always, Guide, RecordedBot, Stretch, said_by_bot, stretches
from voicebot.replay.recording import Said

PLAN = parse(
    """
name: bakery
types: {bread: [rye, sourdough]}
start: welcome
nodes:
  welcome:
    say: Hello.
    collect:
      bread: {required: true, ask: "Which bread?"}
      pieces: {type: number, required: true, ask: "How many?"}
    do:
      - hang_up: Goodbye.
""",
    "bakery.yaml",
)


def speech(*spoken: tuple[int, int], ms: int) -> np.ndarray:  # type: ignore[type-arg]
    """A channel that is loud in these stretches of milliseconds."""
    sound = np.zeros(ms * 8, np.int16)
    for start, end in spoken:
        sound[start * 8 : end * 8] = 3000
    return sound


def test_what_the_bot_said_is_found_with_the_pauses_in_it_and_the_words_that_belong_to_it() -> None:
    said = [Said("Hello. ", "bot", 100), Said("I heard that.", "caller", 3500), Said("How many?", "bot", 5000)]

    found = stretches(speech((100, 1000), (1600, 2000), (5000, 6000), ms=8000), said)

    assert (Stretch(800, 16000, "Hello."), Stretch(40000, 48000, "How many?")) == found


def test_a_bot_that_is_not_on_the_recording_says_nothing() -> None:
    assert () == stretches(None)
    assert () == stretches(speech(ms=1000))


def test_a_timeline_tells_what_was_heard_of_the_bot_and_from_when() -> None:
    records = [
        Record(240, "heard_from", {"turn": 1}),
        Record(900, "said", {"turn": 1, "text": "Hello there.", "heard": "Hello", "complete": False}),
        Record(2000, "fixed", {"sentence": "one_moment", "text": "One moment."}),
    ]
    assert [Said("Hello", "bot", 240), Said("One moment.", "bot", 2000)] == said_by_bot(records)


async def replies(bot: RecordedBot, at_ms: int) -> tuple[list[str], int, int]:
    """(texts, when the first came, ms of audio it has) of a reply to a turn that was taken at `at_ms`."""
    loop = clock()
    await asyncio.sleep(at_ms / 1000 - (loop.time() - 1000))
    texts, came = [], 0
    async for text in bot.reply(Opening()):
        assert isinstance(text, Text)
        came = came or round((loop.time() - 1000) * 1000)
        texts.append(text.text)
    return texts, came, bot.get("recorded", texts[0]).ms if texts else 0


def now_ms() -> int:
    return round((clock().time() - 1000) * 1000)


def test_a_reply_comes_when_it_came_then_or_what_is_left_of_it() -> None:
    sound = speech((1000, 2000), (5000, 6000), (20000, 21000), ms=22000)

    async def talk() -> list[tuple[list[str], int, int]]:
        bot = RecordedBot(sound, stretches(sound), Always(), now_ms)
        return [await replies(bot, at_ms) for at_ms in (400, 5600, 7000)]

    early, late, none_soon = run(talk())
    assert ([NAMELESS], 1000, 1000) == early
    assert ([NAMELESS], 5600, 400) == late
    assert ([], 0, 0) == none_soon


def test_what_is_expected_follows_the_recording_and_not_what_is_heard_today() -> None:
    turns = [
        Record(3000, "turn", {"turn": 2, "text": "sourdough", "confidence": 0.9, "start_ms": 2000, "end_ms": 2700}),
        Record(9000, "silence", {"count": 1}),
    ]
    guide = Guide(PLAN, turns, datetime(2026, 1, 5, 9, tzinfo=UTC))
    guide.heard(Heard(Words("something else", True)))

    assert ["bakery/welcome/bread", "bakery/welcome/pieces", "bakery/welcome/pieces"] == [
        guide.expectation(at_ms).name for at_ms in (0, 3000, 10000)
    ]


def test_without_a_timeline_it_follows_what_is_heard() -> None:
    guide = Guide(PLAN, [], datetime(2026, 1, 5, 9, tzinfo=UTC))
    before = guide.expectation(0).name
    guide.heard(Heard(Words("rye", True)))
    guide.heard(Silent(1))

    assert ("bakery/welcome/bread", "bakery/welcome/pieces") == (before, guide.expectation(5000).name)

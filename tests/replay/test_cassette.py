"""A cassette: a language model and a voice that are asked once, and answer ever after as they did, when they did."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.peers.openai_chat import Answer, ChatServer, Stall, calls
from tests.replay.recorded_calls import settings, two_nos
from tests.replay.test_rehear import digest, records
from voicebot.core.timeline import Record
from voicebot.engines.base import Speech, SpokenWord
from voicebot.errors import PeerError, UsageError
from voicebot.replay.cassette import Cassette, Mode, Request
from voicebot.replay.clock import run
from voicebot.replay.rerun import rerun
from voicebot.replay.taped import TapedTts

PLAN = """
name: shop
description: Sells rolls.
engines: {llm: openai}
start: hello
nodes:
  hello:
    say: Rolls and more. A bag with that?
    intents:
      bag: {examples: ["yes", "no"], do: [{hang_up: Goodbye.}]}
"""
SCRIPT = (Answer(("No bag, ", Stall(0.2), "then. ", "Anything else?")), calls(("hang_up", "{}"), text="Goodbye then. "))


@dataclass
class Shop:
    """A call that a language model leads, taken again and again."""

    folder: Path
    asked: list[dict[str, Any]] = field(default_factory=list)

    def take(self, out: str, mode: Mode, script: tuple[Answer, ...] = SCRIPT, plan: str = PLAN) -> list[Record]:
        """With a server where it is asked live, and none, and no key, where it is not."""
        return run(self._take(out, mode, script, plan))

    async def _take(self, out: str, mode: Mode, script: tuple[Answer, ...], plan: str) -> list[Record]:
        world = settings(self.folder, plan)
        cassette = Cassette(self.folder / "cassette", mode)
        async with ChatServer(script) as server:
            if mode == "live":
                world = world.model_copy(update={"openai_base_url": server.url})
            await rerun(two_nos(), world.dialplans / "shop.yaml", world, self.folder / out, "turns", cassette)
            self.asked += server.requests
        return records(self.folder / out)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def said(found: list[Record]) -> list[str]:
    return [r.fields["heard"] for r in found if r.kind == "said"]


ANSWERS = ["Rolls and more. A bag with that?", "No bag, then. Anything else?", "Goodbye then."]


def test_what_a_model_said_is_said_again_without_it_and_costs_the_same_time(shop: Shop) -> None:
    live = shop.take("live", "live")
    asked = len(shop.asked)
    again = shop.take("again", "recorded")

    assert ANSWERS == said(live) == said(again)
    assert 2 <= asked == len(shop.asked), "nobody was asked again"
    heard = [[r.ms for r in found if r.kind == "heard_from"] for found in (live, again)]
    assert all(abs(one - two) <= 60 for one, two in zip(*heard, strict=True)), heard


def test_from_the_cassette_the_bytes_are_the_same_every_time(shop: Shop) -> None:
    shop.take("live", "live")
    shop.take("once", "recorded")
    shop.take("twice", "recorded")

    assert digest(shop.folder / "once") == digest(shop.folder / "twice")


def test_the_time_that_a_model_takes_is_charged(shop: Shop) -> None:
    slow = (Answer(SCRIPT[0].steps, before=0.7), SCRIPT[1])
    found = shop.take("slow", "live", slow)

    (taken,) = [r.ms for r in found if r.kind == "turn" and r.fields["turn"] == 2]
    (heard,) = [r.ms for r in found if r.kind == "heard_from" and r.fields["turn"] == 2]
    assert 350 < heard - taken < 1500, "it was asked before the pause was over"


def test_another_prompt_is_another_request(shop: Shop) -> None:
    shop.take("live", "live")

    with pytest.raises(UsageError, match="not on the cassette, the first: llm openai: Opening"):
        shop.take("other", "recorded", plan=PLAN.replace("Sells rolls.", "Sells rolls, and is rude about it."))


def test_a_model_that_failed_fails_again(shop: Shop) -> None:
    broken = (Answer((), None, 500),) * 9
    live = shop.take("live", "live", broken)
    again = shop.take("again", "recorded")

    faults = [[r.fields["fault"] for r in found if r.kind == "engine"] for found in (live, again)]
    assert faults[0]
    assert faults[0] == faults[1]


REQUEST = Request("llm", "openai:backup", "hello", ["a", {"b": 1}])


def test_a_request_is_found_by_all_that_was_told_and_by_nothing_else(tmp_path: Path) -> None:
    cassette = Cassette(tmp_path)
    cassette.keep(REQUEST, [{"at_ms": 1, "text": "Hi."}])

    assert [{"at_ms": 1, "text": "Hi."}] == cassette.find(REQUEST)
    assert None is cassette.find(Request("llm", "openai:backup", "hello", ["a", {"b": 2}]))
    assert None is Cassette(tmp_path, "live").find(REQUEST), "who is asked live is asked again"
    assert None is Cassette().find(REQUEST)


def test_an_answer_that_is_no_answer_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    cassette = Cassette(tmp_path)
    cassette.keep(REQUEST, [])
    (tmp_path / REQUEST.file).write_bytes(b'{"pieces": [')

    assert None is cassette.find(REQUEST)


@pytest.mark.parametrize(
    ("mode", "engine", "may"),
    [
        ("auto", "espeak", True),
        ("auto", "openai", False),
        ("auto", "openai:backup", False),
        ("live", "openai", True),
        ("recorded", "espeak", False),
    ],
)
def test_who_may_be_asked(mode: Mode, engine: str, may: bool) -> None:
    assert may == Cassette(None, mode).may_ask(engine)


def test_what_is_missing_is_remembered(tmp_path: Path) -> None:
    cassette = Cassette(tmp_path, "recorded")
    assert isinstance(cassette.lack(REQUEST), PeerError)
    assert ["llm openai:backup: hello"] == cassette.missing


def test_a_person_can_read_it(tmp_path: Path) -> None:
    Cassette(tmp_path).keep(REQUEST, [{"at_ms": 1, "text": "Hi."}])
    told = orjson.loads((tmp_path / REQUEST.file).read_bytes())
    assert ("llm", "openai:backup", "hello") == (told["stage"], told["engine"], told["asked"])


@dataclass
class Reader:
    """A voice that reads a word at a time, 100 ms each."""

    voice_id: str = "reader"
    asked: int = 0

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def speak(self, clauses: AsyncIterator[str], manner: object = None) -> AsyncIterator[Speech]:
        async for clause in clauses:
            self.asked += 1
            for word in clause.split():
                await asyncio.sleep(0)
                yield Speech(bytes(1600), 8000, (SpokenWord(word, 0),))


def test_of_a_sentence_that_was_cut_then_the_rest_is_asked_for_when_it_is_wanted(tmp_path: Path) -> None:
    reader = Reader()

    async def read(most: int, mode: Mode) -> list[str]:
        async def sentence() -> AsyncIterator[str]:
            yield "one two three four"

        voice, heard = TapedTts("espeak", reader, Cassette(tmp_path, mode)), list[str]()
        async with aclosing(voice.speak(sentence())) as chunks:
            async for chunk in chunks:
                heard += [word.text for word in chunk.words]
                if len(heard) == most:
                    break
        return heard

    assert ["one", "two"] == run(read(2, "auto"))
    assert ["one", "two"] == run(read(2, "recorded"))
    with pytest.raises(PeerError):
        run(read(9, "recorded"))
    assert ["one", "two", "three", "four"] == run(read(9, "auto"))
    assert 2 == reader.asked
    assert ["one", "two", "three", "four"] == run(read(9, "recorded")), "now it is whole"

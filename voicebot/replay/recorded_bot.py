"""The bot of a recording, as today's turn machine meets it: what it said then, it says again when it said it then.

The caller of a recording answered that bot and nobody else. So a reply plays the next stretch of the bot's channel at
its own time, however early today's ears took the turn; where they took it late, what is left of it. What the caller
may say next follows the recording, too: the dialplan's flow goes through the turns of its timeline.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from voicebot.audio.frames import FRAME_SAMPLES, RATE
from voicebot.audio.g711 import ulaw_encode
from voicebot.call.prompts import Prompt
from voicebot.core.dialogue import CallerTurn, Heard, Opening, Pressed, Silent, Text, ToolCall, ToolDone
from voicebot.core.dialplan import Dialplan
from voicebot.core.expect import Expectation, Mode
from voicebot.core.flow import Flow
from voicebot.core.playout import align
from voicebot.core.timeline import Record
from voicebot.core.tone import PLAIN
from voicebot.core.words import Words
from voicebot.engines.base import Speech, SpokenWord
from voicebot.replay.recording import Said, Samples

LOUD = 100
"""Of 32768, RMS of 20 ms: less is no voice of a bot, whose channel has no noise of its own."""
AT_ONCE = RATE * 60
"""Samples looked at together: a long recording is mapped, and never held."""
PAUSE_MS = 1000
"""Pauses up to this are within what the bot says."""
SOON_MS = 5000
"""A reply that begins later than this after its turn is none: the turn machine would apologise for its engines."""
NAMELESS = "(speaks)"
"""Text of what nobody wrote down."""
ANYTHING = Expectation("anything", Mode.FREE, ())
"""Where there is no dialplan: nothing is understood."""
NOTHING_SAID = Prompt(b"\xff" * FRAME_SAMPLES, ())
"""20 ms of silence, for the sentences that today's turn machine has on its own."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What the bot said in one go, 8 kHz."""

    start: int
    end: int
    text: str = NAMELESS


def stretches(bot: Samples | None, said: Sequence[Said] = ()) -> tuple[Stretch, ...]:
    """Of the bot's channel at 8 kHz; `said` has the words, where they are known and have times."""
    if bot is None or not len(bot):
        return ()
    loud = np.flatnonzero(np.concatenate([_loud(bot[at : at + AT_ONCE]) for at in range(0, len(bot), AT_ONCE)]))
    if not len(loud):
        return ()
    gaps = np.flatnonzero(np.diff(loud) * FRAME_SAMPLES > PAUSE_MS * RATE // 1000)
    starts, ends = loud[np.concatenate([[0], gaps + 1])], loud[np.concatenate([gaps, [len(loud) - 1]])] + 1
    edges = [(int(a) * FRAME_SAMPLES, int(b) * FRAME_SAMPLES) for a, b in zip(starts, ends, strict=True)]
    return tuple(Stretch(start, end, _text(start, end, said)) for start, end in edges)


def _loud(bot: Samples) -> npt.NDArray[np.bool_]:
    """Of each whole frame."""
    frames = np.asarray(bot[: len(bot) // FRAME_SAMPLES * FRAME_SAMPLES], np.float32).reshape(-1, FRAME_SAMPLES)
    loud: npt.NDArray[np.bool_] = np.sqrt((frames**2).mean(axis=1)) > LOUD
    return loud


def _text(start: int, end: int, said: Sequence[Said]) -> str:
    here = [
        each.text.strip()
        for each in said
        if each.side == "bot" and each.start_ms is not None and start <= each.start_ms * RATE // 1000 + RATE // 2 < end
    ]
    return " ".join(here).strip() or NAMELESS


def said_by_bot(records: Sequence[Record]) -> list[Said]:
    """What a timeline says that was heard of the bot, and from when."""
    heard_from = {r.fields.get("turn"): r.ms for r in records if r.kind == "heard_from"}
    answers = [
        Said(str(r.fields.get("heard", "")), "bot", heard_from.get(r.fields.get("turn"))) for r in records
        if r.kind == "said"
    ]  # fmt: skip
    return answers + [Said(str(r.fields.get("text", "")), "bot", r.ms) for r in records if r.kind == "fixed"]


class RecordedBot:
    """An agent that answers as recorded, and the prompts that hold its audio. `now_ms` is the line's clock."""

    def __init__(
        self, bot: Samples | None, parts: Sequence[Stretch], guide: Guide | Always, now_ms: Callable[[], int]
    ) -> None:
        self._bot = np.zeros(0, np.int16) if bot is None else bot
        self._parts, self._guide, self._now_ms = deque(parts), guide, now_ms
        self._text, self._prompt = "", NOTHING_SAID

    @property
    def expectation(self) -> Expectation:
        return self._guide.expectation(self._now_ms())

    async def reply(self, turn: CallerTurn) -> AsyncGenerator[Text, None]:
        """The next stretch of the recording that is not over yet; nothing where there is none soon."""
        self._guide.heard(turn)
        while self._parts and self._parts[0].end <= self._now():
            self._parts.popleft()
        if not self._parts or self._parts[0].start > self._now() + SOON_MS * RATE // 1000:
            return
        part = self._parts[0]
        await asyncio.sleep(max(0, part.start - self._now()) / RATE)
        pcm = np.asarray(self._bot[max(part.start, self._now()) : part.end], "<i2").tobytes()
        words = tuple(SpokenWord(text, at) for at, text in align(part.text, len(pcm) // 2))
        self._text, self._prompt = part.text, Prompt(ulaw_encode(pcm), words)
        self._parts.popleft()
        yield Text(part.text)

    def _now(self) -> int:
        return self._now_ms() * RATE // 1000

    async def prepare(self, turn: CallerTurn) -> None:
        """What it says is known."""

    def committed(self, text: str, complete: bool) -> None:
        """It says the same, whatever was heard."""

    def get(self, _: str, text: str) -> Prompt:
        """As `PromptCache.get`: the audio of what it says just now, or next to nothing for any other sentence."""
        return self._prompt if text == self._text else NOTHING_SAID


class Silence:
    """A voice for a bot that has all it says beforehand."""

    voice_id = "recorded"

    def __init__(self) -> None:
        self.manner = PLAIN

    async def speak(self, clauses: object) -> AsyncGenerator[Speech, None]:
        """Never asked."""
        yield Speech(bytes(2 * FRAME_SAMPLES), RATE)


class Always:
    """Stands in for a `Guide` where the same is expected all through the call: by a language model, or by nobody."""

    def __init__(self, expectation: Expectation = ANYTHING) -> None:
        self._expectation = expectation

    def expectation(self, _: int) -> Expectation:
        """Always the same."""
        return self._expectation

    def heard(self, turn: CallerTurn) -> None:
        """It changes nothing."""


class Guide:
    """What the caller may say next: the flow of `plan`, led through the turns of a timeline as the clock passes them;
    through what is heard today where there is no timeline."""

    def __init__(self, plan: Dialplan, records: Sequence[Record], now: datetime) -> None:
        self._flow = Flow(plan, now)
        self._flow.feed(Opening())
        self._led = any(r.kind == "turn" for r in records)
        self._turns = deque(r for r in records if r.kind in ("turn", "silence"))
        self._tools = deque(r for r in records if r.kind == "tool" and "ok" in r.fields)

    def expectation(self, now_ms: int) -> Expectation:
        """At this moment of the media clock."""
        while self._led and self._turns and self._turns[0].ms <= now_ms:
            self._feed(_turn(self._turns.popleft()))
        return self._flow.expectation

    def heard(self, turn: CallerTurn) -> None:
        """Today's ears took a turn."""
        if not self._led and not isinstance(turn, Opening):
            self._feed(turn)

    def _feed(self, turn: CallerTurn) -> None:
        step = self._flow.feed(turn)
        while not step.ended and isinstance(call := step.events[-1], ToolCall):
            done: Mapping[str, Any] = self._tools.popleft().fields if self._tools else {"ok": True}
            step = self._flow.feed(ToolDone(call.call_id, bool(done["ok"]), done.get("result") or {}))


def _turn(record: Record) -> CallerTurn:
    fields = record.fields
    if record.kind == "silence":
        return Silent(int(fields.get("count", 1)))
    if fields.get("digits"):
        return Pressed(str(fields["digits"]))
    return Heard(Words(str(fields.get("text", "")), True, float(fields.get("confidence", 1.0))))

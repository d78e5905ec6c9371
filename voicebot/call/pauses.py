"""The pauses of a call: how long each may be before the turn is taken, and what the caller makes of it.

`core.end_of_turn` adds up the evidence; a model of the operator's joins the vote when it has made up its mind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from voicebot.audio.prosody import Prosody
from voicebot.core.dialplan import Dialplan
from voicebot.core.end_of_turn import HANGING, EndOfTurn, Evidence
from voicebot.core.expect import Expectation
from voicebot.engines.base import Eot


class Pauses:
    """One call's. `on_vote()` is called when the model has voted on the pause that goes on."""

    def __init__(self, plan: Dialplan, eot: Eot | None, group: asyncio.TaskGroup, on_vote: Callable[[], None]) -> None:
        english = plan.language.partition("-")[0].lower() == "en"
        self._end_of_turn = EndOfTurn(plan.turns.patience_ms, HANGING if english else ())
        self._eot, self._group, self._on_vote = eot, group, on_vote
        self._ending: Prosody | None = None
        self._vote: float | None = None
        self._pause = 0
        self.terms: dict[str, int] = {}
        """What adds up to the last wait."""

    def begin(self, ending: Prosody | None, audio: bytes) -> None:
        """The caller's voice stopped; `audio` is what they said, 8 kHz int16 LE."""
        self._ending, self._vote = ending, None
        self._pause += 1
        if self._eot:
            self._group.create_task(self._judge(self._eot, audio, self._pause))

    def wait_ms(self, expectation: Expectation, text: str) -> int:
        """How long the pause may be, with these words so far."""
        evidence = Evidence(expectation, text, self._ending, self._vote)
        self.terms = self._end_of_turn.terms(evidence)
        return self._end_of_turn.wait_ms(evidence)

    def went_on(self, pause_ms: int) -> None:
        """The caller spoke again after a pause within a turn, or just after the turn was taken."""
        self._pause += 1
        self._end_of_turn.went_on(pause_ms)

    def taken(self) -> None:
        """The turn is over."""
        self._pause += 1
        self._end_of_turn.taken()

    async def _judge(self, eot: Eot, audio: bytes, pause: int) -> None:
        vote = await eot.judge(audio)
        if vote is not None and pause == self._pause:
            self._vote = vote
            self._on_vote()

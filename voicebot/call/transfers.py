"""How one call's caller is put through, and what becomes of it.

A cold transfer is the line's own: the far end is asked to call somebody else (REFER, `<Dial>`). Where it does not do
that, and for every warm one, we call over a second line, and join the two (`call.bridge`): the caller's call stays here
until one of them hangs up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from voicebot import log
from voicebot.call.bridge import Bridge, follow
from voicebot.call.briefing import brief, spoken
from voicebot.call.leaving import AFTER_GOODBYE_S
from voicebot.call.parts import Parts
from voicebot.call.recorder import Recorder
from voicebot.carriers.base import Audio, Digit, Line, LineEvent, Played
from voicebot.core import events as ev
from voicebot.core import say
from voicebot.core.dialplan import Dialplan, Transfer
from voicebot.core.sentences import constants
from voicebot.core.timeline import EndReason, Record
from voicebot.errors import CannotTransfer, PeerError

_log = log.get("transfers")


class Transfers:
    """One call's, as long as `group` lives; one at a time. `feed` takes what becomes of it to the turn machine."""

    def __init__(
        self,
        line: Line,
        plan: Dialplan,
        parts: Parts,
        recorder: Recorder,
        group: asyncio.TaskGroup,
        feed: Callable[[ev.Event], None],
    ) -> None:
        self._line, self._plan, self._parts, self._recorder = line, plan, parts, recorder
        self._group, self._feed = group, feed
        self._task: asyncio.Task[None] | None = None
        self._bridge: Bridge | None = None
        self.taken = False
        """The carrier has given the caller to somebody else: the line ends by itself, and must not be hung up."""

    def start(self, name: str, briefing: str = "") -> None:
        """Put the caller through to the transfer of that name; `briefing` is what the dialplan's flow, or a model, says
        of this caller to whoever takes the call."""
        self._task = self._group.create_task(self._run(name, briefing))

    def stop(self) -> None:
        """Nobody wants it any more; a second line is hung up."""
        if self._task:
            self._task.cancel()

    def take(self, event: LineEvent) -> bool:
        """Whether what the caller's line brings is for somebody else: while the two talk."""
        if self._bridge is None or not isinstance(event, Audio | Played | Digit):
            return False
        self._bridge.from_one(event)
        return True

    async def _run(self, name: str, briefing: str) -> None:
        await asyncio.sleep(AFTER_GOODBYE_S)
        try:
            await self._put_through(name, briefing)
        except PeerError as error:
            _log.warning("transfer_failed", call_id=self._line.info.call_id, to=name, error=str(error))
            self._note(name, False, why=str(error))
            self._feed(ev.TransferFailed(str(error)))
        else:
            self._feed(ev.PutThrough())

    async def _put_through(self, name: str, briefing: str) -> None:
        """Until the caller is gone, with whomever. `PeerError` when nobody takes the call."""
        transfer = self._plan.transfers.get(name)
        if transfer is None:
            raise PeerError(f"there is no transfer {name!r}")
        warm = transfer.kind == "warm"
        first, second = (self._by_ourselves, self._by_line) if warm else (self._by_line, self._by_ourselves)
        try:
            await first(name, transfer, briefing)
        except CannotTransfer as error:
            self._note(name, False, why=str(error), then="cold" if warm else "a second line")
            await second(name, transfer, briefing)

    async def _by_line(self, name: str, transfer: Transfer, _: str) -> None:
        await self._line.transfer(transfer.to)
        self.taken = True
        self._note(name, True)

    async def _by_ourselves(self, name: str, transfer: Transfer, briefing: str) -> None:
        """Call over a second line, and join the two."""
        if self._parts.dial is None:
            raise CannotTransfer("nobody can be called from here: the service has no SIP")
        speech = b""
        if transfer.kind == "warm":
            text = briefing or say.render(transfer.briefing[0], constants(self._plan))
            speech = await spoken(self._parts, text) + await spoken(self._parts, self._plan.sentences.take_call)
        line = await self._parts.dial(transfer.to)
        try:
            async with aclosing(line.events()) as events:
                if speech:
                    await brief(line, events, speech)
                self._note(name, True, joined=True)
                self._bridge = Bridge(self._line, line, self._recorder)
                self._feed(ev.Joined())
                if await follow(events, self._bridge.from_other) != EndReason.CALLER_HANGUP:
                    raise PeerError("their line was lost")
        finally:
            self._bridge = None
            await line.hangup(EndReason.TRANSFER.value)

    def _note(self, name: str, ok: bool, **more: object) -> None:
        self._recorder.note(Record(self._line.clock_ms(), "transfer", {"to": name, "ok": ok, **more}))

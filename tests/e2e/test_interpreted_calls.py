"""An interpreted call over real lines: a caller on Twilio or SIP, the other side a SIP phone that the service calls."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.call.interpreted_world import PLAN, stub_engines
from tests.call.world import silence, tone
from tests.peers.phone import Phone
from tests.peers.sip_caller import HOST, Caller, caller, free_port
from tests.service.world import STREAM_HEADERS, Service, serving, token_of
from tests.sip.world import needs_pjsua2
from voicebot.audio.g711 import ulaw_encode
from voicebot.call.runtime import Runtime, new_call_id
from voicebot.call.session import Session
from voicebot.carriers.base import CallInfo, Dial, Line
from voicebot.carriers.sip import SipLine
from voicebot.carriers.sip_process import Worker
from voicebot.carriers.sip_setup import Setup
from voicebot.core.dialplan import Dialplan
from voicebot.core.events import State
from voicebot.core.interpreting import words_for
from voicebot.core.timeline import EndReason, Record, decode
from voicebot.errors import PeerError

pytestmark = [needs_pjsua2, pytest.mark.slow, pytest.mark.timeout(120)]
WORDS = {"es-ES": ["buenos días", "cinco mesas"], "en-US": ["hello there", "four"]}
FRAME = silence(20)
THEIRS = "-b"


@dataclass
class Voice:
    """Somebody on a line: what they say, 20 ms at a time, and silence between."""

    send: Callable[[bytes], Awaitable[None]]
    saying: deque[bytes] = field(default_factory=deque)

    def say(self, ms: int) -> None:
        sound = tone(ms)
        self.saying.extend(sound[at : at + len(FRAME)] for at in range(0, len(sound), len(FRAME)))

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        at = loop.time()
        while True:
            await self.send(self.saying.popleft() if self.saying else FRAME)
            at += 0.02
            await asyncio.sleep(max(0.0, at - loop.time()))


@dataclass
class Booth:
    """A runtime that interprets, and calls the other side's phone by a process that dials."""

    runtime: Runtime
    phone: Caller
    worker: Worker

    def __getattr__(self, name: str) -> Any:
        return getattr(self.runtime, name)

    async def run_call(
        self, line: Line, plan: Dialplan, watch: Callable[[Record], None] | None = None, _: Dial | None = None
    ) -> EndReason:
        return await self.runtime.run_call(line, plan, watch, self.dial)

    async def dial(self, to: str) -> Line:
        number = self.worker.dial(f"sip:anna@{HOST}:{self.phone.sip_port}", -1, {})
        line = SipLine(CallInfo(new_call_id(), "sip", "voicebot", to), self.worker, number, str)
        self.worker.calls[number] = line
        if not await line.answered(5):
            raise PeerError("nobody answers")
        return line

    # --- what happens

    def session(self, other: bool) -> Session | None:
        return next((each for name, each in self.runtime.calls.items() if name.endswith(THEIRS) is other), None)

    async def ready(self) -> None:
        """Both were told, and may speak."""
        await self.until(lambda: self._listens(False) and self._listens(True) and self.said(False) and self.said(True))

    def _listens(self, other: bool) -> bool:
        session = self.session(other)
        return session is not None and session.machine.state is State.LISTENING

    def records(self, other: bool) -> list[Record]:
        folders = (self.runtime.settings.data_dir / "calls").iterdir()
        folder = next((each for each in folders if each.name.endswith(THEIRS) is other), None)
        return list(decode((folder / "timeline.jsonl").read_bytes().splitlines())) if folder else []

    def said(self, other: bool) -> list[tuple[str, bool]]:
        """What this side heard, and whether to its end."""
        records = [record.fields for record in self.records(other) if record.kind == "said"]
        return [(each["text"].strip(), each["complete"]) for each in records if each["text"]]

    async def until(self, true: Callable[[], object]) -> None:
        async with asyncio.timeout(25):
            while not true():  # noqa: ASYNC110 - what is waited for is in files
                await asyncio.sleep(0.05)


@asynccontextmanager
async def interpreting(folder: Path, **given: Any) -> AsyncIterator[tuple[Service, Booth]]:
    (folder / "interpreter.yaml").write_text(
        PLAN.format(more='call: "+15550100"') + 'takes: {numbers: "+15550002222"}\n', "utf-8"
    )
    worker = Worker(Setup(dials=True).facts, lambda *_: None, lambda _: None)
    try:
        async with caller(0) as phone:
            make = lambda settings, store: Booth(Runtime(settings, store), phone, worker)  # noqa: E731
            given |= {"dialplans": folder / "interpreter.yaml", "vad": "test"}
            async with serving(folder, make, **given) as service:
                yield service, service.runtime  # type: ignore[misc]
    finally:
        worker.close()


async def converse(booth: Booth, one: Voice, two: Voice) -> None:
    """Both directions, then an interruption, then the other side hangs up."""
    await booth.ready()
    one.say(900)
    await booth.until(lambda: ("good morning", True) in booth.said(True))
    two.say(900)
    await booth.until(lambda: ("hola", True) in booth.said(False))
    one.say(900)
    await booth.until(lambda: (session := booth.session(True)) and session.machine.state is State.SPEAKING)
    two.say(1500)  # over "five tables please"
    await booth.until(lambda: ("five tables please", False) in booth.said(True))
    await booth.until(lambda: ("cuatro", True) in booth.said(False))
    await booth.phone.hang_up()
    await booth.until(lambda: booth.session(True) is None)


def told_goodbye(booth: Booth) -> None:
    records = booth.records(False)
    assert [words_for("es").over] == [record.fields["text"] for record in records if record.kind == "fixed"]
    assert "bot_hangup" == records[-1].fields["reason"]
    both = [
        (each.fields["by"], each.fields["source"], each.fields["text"])
        for each in records
        if each.kind == "interpreted"
    ]
    assert [
        ("caller", "buenos días", "good morning"), ("callee", "hello there", "hola"),
        ("caller", "cinco mesas", "five tables please"), ("callee", "four", "cuatro"),
    ] == both  # fmt: skip


async def rtp(phone: Caller, frame: bytes) -> None:
    if phone._media:
        phone.send_rtp(phone.rtp(ulaw_encode(frame)))


async def test_a_caller_on_twilio_and_a_sip_phone_speak_through_the_interpreter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub_engines(monkeypatch, WORDS)
    async with interpreting(tmp_path) as (service, booth):
        await booth.until(lambda: booth.worker.ready)
        async with Phone(service.stream, await token_of(service), headers=STREAM_HEADERS) as phone:
            one = Voice(lambda frame: phone.audio(1, ulaw_encode(frame)))
            two = Voice(lambda frame: rtp(booth.phone, frame))
            talking = [asyncio.ensure_future(each.run()) for each in (one, two)]
            try:
                await converse(booth, one, two)
                await booth.until(lambda: booth.session(False) is None)
            finally:
                for each in talking:
                    each.cancel()
        told_goodbye(booth)


async def test_a_caller_on_sip_and_a_sip_phone_speak_through_the_interpreter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub_engines(monkeypatch, WORDS)
    async with interpreting(tmp_path, sip_workers=1, sip_port=free_port()) as (service, booth):
        await booth.until(lambda: booth.worker.ready)
        async with caller(service.settings.sip_port) as phone:
            assert 200 == await phone.invite()
            one, two = Voice(lambda frame: rtp(phone, frame)), Voice(lambda frame: rtp(booth.phone, frame))
            talking = [asyncio.ensure_future(each.run()) for each in (one, two)]
            try:
                await converse(booth, one, two)
                await phone.is_asked("BYE")
            finally:
                for each in talking:
                    each.cancel()
        await booth.until(lambda: booth.session(False) is None)
        told_goodbye(booth)

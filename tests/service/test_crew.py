"""Several processes that carry calls for one service: calls are spread, found again, counted, and die alone."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.peers.phone import Phone
from tests.peers.twilio_rest import ACCOUNT, twilio_rest
from tests.service.world import STREAM_HEADERS, Service, serving, token_of, until
from voicebot.config import Settings
from voicebot.core.plan import Transfer
from voicebot.service.call_worker import CallWorker
from voicebot.service.crew import Crew, environment
from voicebot.service.crew_link import Carry, Lost, Reload, State, Told
from voicebot.service.crew_link import Link as End

CREW = ("-m", "tests.service.tone_crew")


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with serving(tmp_path, crew=CREW, workers=2, max_calls=5) as running:
        yield running


@pytest.fixture
async def calls(service: Service) -> AsyncIterator[Calls]:
    async with AsyncExitStack() as stack:
        yield Calls(service, stack)


class Calls:
    """Telephones that call one after the other, as CA1, CA2, …"""

    def __init__(self, service: Service, stack: AsyncExitStack) -> None:
        self.service, self._stack, self._placed = service, stack, 0

    async def one(self) -> Phone:
        """One more, up."""
        self._placed += 1
        return await self.stream(f"CA{self._placed}", await token_of(self.service, CallSid=f"CA{self._placed}"))

    async def stream(self, sid: str, token: str) -> Phone:
        up, phone = self.service.desk.calls, Phone(self.service.stream, token, call_sid=sid, headers=STREAM_HEADERS)
        await self._stack.enter_async_context(phone)
        await phone.hears(0.4)
        await until(lambda: self.service.desk.calls == up + 1)
        return phone

    async def after(self, sid: str) -> str:
        return (await self.service.hook("/twilio/after", CallSid=sid)).text


def crew(service: Service) -> Crew:
    assert service.desk.crew
    return service.desk.crew


def other(service: Service) -> CallWorker:
    """The process beside the service's own."""
    [worker] = crew(service).workers
    return worker


async def ended(service: Service) -> dict[str, str | None]:
    """Carrier's call id → how it ended, once the calls of the other process are over."""
    await until(lambda: not other(service).calls)
    return dict(service.rows())


async def metric(service: Service, name: str) -> float:
    lines = (await service.web.get("/metrics")).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


async def test_calls_are_spread_listed_and_counted_together_and_over_the_limit_refused(
    service: Service, calls: Calls
) -> None:
    phones = [await calls.one() for _ in range(5)]
    assert {0: 2, 1: 3} == crew(service).loads()
    assert {"status": "busy", "calls": 5} == (await service.web.get("/readyz")).json()
    shown = (await service.web.get("/api/calls")).json()
    assert {("tones", None)} == {(call["dialplan"], call["end_reason"]) for call in shown}
    assert 'reason="busy"' in (await service.hook("/twilio/voice", CallSid="CA6", From="+1555")).text
    for each in phones:
        await each.stop()
        await each.is_left()
    await until(lambda: not service.desk.calls and "CA6" in dict(service.rows()))
    ended = {f"CA{n}": "caller_hangup" for n in range(1, 6)}
    assert ended | {"CA6": "rejected"} == dict(service.rows())
    assert 5 == await metric(service, "voicebot_calls_total")
    assert 0 == await metric(service, "voicebot_calls_live")


async def test_web_hooks_find_their_call_in_whichever_process_it_is(service: Service, calls: Calls) -> None:
    transferred, hung_up, hangs = await calls.one(), await calls.one(), await calls.one()
    await transferred.press("8")
    assert (1000, "transfer") == await transferred.is_left()
    assert "+12025550142</Number>" in await calls.after("CA1")
    await hung_up.press("9")
    await hung_up.is_left()
    assert "<Hangup />" in await calls.after("CA2")
    await service.hook("/twilio/status", CallSid="CA3", CallStatus="completed")
    assert (1000, "caller_hangup") == await hangs.is_left()
    assert {"CA1": "transfer", "CA2": "bot_hangup", "CA3": "caller_hangup"} == await ended(service)


async def test_another_process_asks_twilio_to_hang_up_with_the_service_s_credentials(tmp_path: Path) -> None:
    with twilio_rest() as twilio:
        given = {"twilio_account_sid": ACCOUNT, "twilio_api_url": twilio.url}
        async with serving(tmp_path, crew=CREW, workers=2, **given) as service, AsyncExitStack() as stack:
            phone = await Calls(service, stack).one()
            assert {0: 0, 1: 1} == crew(service).loads()
            await phone.press("9")
            await until(lambda: twilio.asked)
            assert [("CA1", {"Status": "completed"})] == twilio.asked


async def test_whom_nobody_took_is_back_in_the_process_that_knows_the_conversation(
    service: Service, calls: Calls
) -> None:
    transferred = await calls.one()
    await calls.one()
    await calls.one()
    assert {0: 1, 1: 2} == crew(service).loads()
    await transferred.press("8")
    await transferred.is_left()
    await until(lambda: crew(service).loads() == {0: 1, 1: 1})
    answer = await service.hook("/twilio/dialled", CallSid="CA1", DialCallStatus="no-answer")
    token = answer.text.partition('name="token" value="')[2].partition('"')[0]
    await calls.stream("CA1", token)
    assert {0: 1, 1: 2} == crew(service).loads()


async def test_a_process_that_is_killed_costs_its_calls_and_comes_back(service: Service, calls: Calls) -> None:
    away, at_home = await calls.one(), await calls.one()
    killed = other(service).pid
    os.kill(killed, signal.SIGKILL)
    await away.is_left()
    await until(lambda: dict(service.rows())["CA1"])
    assert {"CA1": "crashed", "CA2": None} == dict(service.rows())
    assert "One moment" in await calls.after("CA1")
    async with asyncio.timeout(60):
        while not other(service).ready:  # noqa: ASYNC110 - a process takes its time to start
            await asyncio.sleep(0.05)
    assert killed != other(service).pid
    assert 1 == await metric(service, 'voicebot_calls_total{carrier="twilio",reason="crashed"}')
    assert 1 == await metric(service, "voicebot_worker_restarts_total")
    await at_home.press("9")
    await at_home.is_left()
    await calls.one()
    assert {0: 0, 1: 1} == crew(service).loads()


async def test_calls_are_refused_when_no_process_has_room(service: Service, calls: Calls) -> None:
    away, _, _ = [await calls.one() for _ in range(3)]
    service.runtime.pulse.overloaded = True
    warm = {"desk": Transfer(to="+12025550142", kind="warm", briefing="Somebody calls.")}
    others = service.runtime.dialplans["others"]
    service.runtime.dialplans["others"] = others.model_copy(update={"transfers": warm})
    busy = await service.hook("/twilio/voice", CallSid="CA9", To="+15550003333")
    assert 'reason="busy"' in busy.text  # only the service's own process could carry it
    await calls.one()
    assert {0: 1, 1: 3} == crew(service).loads()
    await away.press("6")
    await until(lambda: other(service).room == 0)
    assert 'reason="busy"' in (await service.hook("/twilio/voice", CallSid="CA5")).text
    assert 503 == (await service.web.get("/readyz")).status_code
    service.runtime.pulse.overloaded = False
    assert 200 == (await service.web.get("/readyz")).status_code


async def test_a_page_loses_nothing_on_the_way_and_sees_its_call(service: Service) -> None:
    placed = (await service.web.post("/browser/call", json={"dialplan": "tones"})).json()
    async with Phone(service.browser_stream, placed["token"], says_start=False) as page:
        await page.start()
        for digit in "0123456":
            await page.press(digit)
        await page.raw('{"event":')
        await until(lambda: other(service).calls)
        await until(lambda: len(page.heard) == 3200)
        await until(lambda: sum(each["event"] == "record" for each in page.told) == 7)
        assert list("0123456") == [e["record"]["digits"] for e in page.told if e["event"] == "record"]
        await page.press("9")
        assert {"event": "ended", "reason": "bot_hangup"} == await page.is_told("ended")


# --- what a process is told


def test_another_process_has_the_settings_of_this_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "of the environment")
    ours = Settings(
        _env_file=None, data_dir=tmp_path, record=False, port=0, console_token="a token", openai_base_url="http://here"
    )  # type: ignore[call-arg]
    for name, value in environment(ours).items():
        monkeypatch.setenv(name, value)
    assert ours == Settings(_env_file=None)  # type: ignore[call-arg]


# --- the link


class Both:
    """Two ends, and what each was told."""

    def __init__(self) -> None:
        one, two = socket.socketpair()
        self.told: list[tuple[Told, int | None]] = []
        self.lost: list[str] = []
        self.one = End(one, lambda *_: None, lambda: self.lost.append("one"))
        self.two = End(two, lambda told, fd: self.told.append((told, fd)), lambda: self.lost.append("two"))


async def test_messages_come_whole_and_each_call_with_its_own_descriptor() -> None:
    both, pipes = Both(), [os.pipe() for _ in range(3)]
    sent: list[Told] = []
    for number, (read, write) in enumerate(pipes):
        os.write(write, bytes([number]))
        os.close(write)
        sent += [Carry(number, {"call_id": "1"}, "tones", "x" * 300_000), Lost(number, "caller_hangup"), Reload()]
        both.one.send(sent[-3], read)
        both.one.send(sent[-2])
        both.one.send(sent[-1])
    await until(lambda: len(both.told) == len(sent))
    assert sent == [told for told, _ in both.told]
    descriptors = [descriptor for _, descriptor in both.told if descriptor is not None]
    assert [b"\0", b"\1", b"\2"] == [os.read(each, 1) for each in descriptors]
    assert not any(map(os.get_inheritable, descriptors))
    for each in descriptors:
        os.close(each)
    both.one.close()
    await until(lambda: both.lost)
    assert ["two"] == both.lost
    read, write = os.pipe()
    both.one.send(Carry(9, {}, "", ""), read)
    os.close(write)
    with pytest.raises(OSError, match="Bad file"):
        os.close(read)


async def test_an_end_that_does_not_read_is_lost() -> None:
    both = Both()
    ours, _theirs = socket.socketpair()
    end = End(ours, lambda *_: None, lambda: both.lost.append("it"))
    for _ in range(60):
        end.send(State(reading={"x" * 100_000: 0.0}))
    await until(lambda: both.lost)
    assert ["it"] == both.lost

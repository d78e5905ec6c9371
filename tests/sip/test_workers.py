"""Workers die, and callers come in too great numbers: what is refused, how, and what goes on."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.peers.sip_caller import NUMBER, Caller, caller
from tests.service.world import Service, until
from tests.sip.world import needs_pjsua2, sip_of, sip_service
from voicebot.core import sip
from voicebot.core.timeline import EndReason

pytestmark = needs_pjsua2


async def callers(stack: AsyncExitStack, service: Service, count: int) -> list[Caller]:
    return [await stack.enter_async_context(caller(service.settings.sip_port)) for _ in range(count)]


def metric(service: Service, why: str) -> float:
    return service.desk.metrics.refused.labels("sip", why)._value.get()


async def test_a_killed_worker_costs_its_calls_and_nothing_else(tmp_path: Path) -> None:
    async with sip_service(tmp_path, sip_workers=2) as service, AsyncExitStack() as stack:
        first, second, third = await callers(stack, service, 3)
        await first.invite()
        await second.invite()
        one, other = sip_of(service).workers
        assert [1, 1] == [len(one.calls), len(other.calls)]
        assert one.pid
        door = sip_of(service).door
        assert door
        on_one = door.calls[first.call_id].worker.port == one.port
        victim, survivor = (first, second) if on_one else (second, first)
        os.kill(one.pid, signal.SIGKILL)
        bye = await victim.is_asked("BYE")
        assert 'Q.850;cause=41;text="media_lost"' == sip.value(bye.headers, "Reason")
        await until(lambda: service.runtime.ended)
        assert [EndReason.MEDIA_LOST] == service.runtime.ended
        async with asyncio.timeout(3):  # a fresh worker within three seconds
            while not one.ready:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert 200 == await third.invite()
        assert 1 == len(one.calls)
        before = len(survivor.heard)
        await asyncio.sleep(0.2)
        assert before < len(survivor.heard)
        assert 200 == await survivor.ask("BYE")


async def test_a_service_that_is_gone_says_goodbye_to_its_callers(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        async with sip_service(tmp_path) as service:
            [phone] = await callers(stack, service, 1)
            await phone.invite()
            await phone.hears(0.2)
        await phone.is_asked("BYE")


async def test_a_worker_takes_what_its_build_allows_and_one_more_is_told_to_come_later(tmp_path: Path) -> None:
    async with sip_service(tmp_path) as service, AsyncExitStack() as stack:
        [worker] = sip_of(service).workers
        phones = await callers(stack, service, worker.capacity + 1)
        assert [200] * worker.capacity == [await phone.invite() for phone in phones[:-1]]
        assert 503 == await phones[-1].invite()
        assert "10" == sip.value(phones[-1].responses[-1].headers, "Retry-After")
        assert 1 == metric(service, "no free worker")
        await phones[0].ask("BYE")
        await until(lambda: worker.free)
        assert 200 == await phones[-1].invite()


async def test_each_refusal_has_its_own_answer_and_is_counted_and_listed(tmp_path: Path) -> None:
    async with sip_service(tmp_path, max_calls=2, max_calls_per_caller=1) as service, AsyncExitStack() as stack:
        phone, up, third = await callers(stack, service, 3)
        assert 404 == await phone.invite("+15559999999")
        assert 488 == await phone.invite(body=phone.sdp(("G722",)))
        service.runtime.state = "draining"
        assert 503 == await phone.invite()
        service.runtime.state = None
        assert 200 == await up.invite()
        await until(lambda: service.desk.doors.inside)
        assert 486 == await phone.invite()
        service.desk.doors._most = 1
        service.settings.max_calls = 1
        assert 503 == await third.invite()
        whys = ["no dialplan takes this call", "no codec in common", "draining", "too many calls from this caller"]
        await until(lambda: [1] * 5 == [metric(service, why) for why in [*whys, "over capacity"]])
        await until(lambda: 5 == [row for _, row in service.rows()].count("rejected"))
        assert [NUMBER] == [info.called for info in service.runtime.opened]


async def test_sources_that_are_not_allowed_are_refused_before_anything_is_looked_at(tmp_path: Path) -> None:
    async with sip_service(tmp_path, sip_allow="192.0.2.0/24") as service, AsyncExitStack() as stack:
        [phone] = await callers(stack, service, 1)
        assert [403, 403] == [await phone.invite(), await phone.invite("+15559999999")]
        assert [] == service.runtime.opened
        await until(lambda: 2 == service.desk.metrics.sip_dropped.labels("answered 403")._value.get())


@pytest.mark.slow
async def test_ten_thousand_attempts_of_a_scanner_change_nothing_for_a_live_call(tmp_path: Path) -> None:
    async with sip_service(tmp_path) as service, AsyncExitStack() as stack:
        phone, scanner = await callers(stack, service, 2)
        await phone.invite()
        [worker] = sip_of(service).workers
        pid, before = worker.pid, len(service.runtime.opened)
        scanner.call_id = "scan"
        for number in range(10_000):
            request = scanner.request(("REGISTER", "OPTIONS", "INVITE")[number % 3], str(100 + number))
            scanner.send(request.encode().replace(b"Call-ID: scan", f"Call-ID: scan{number}".encode()))
            if number % 50 == 0:
                await asyncio.sleep(0.005)
        heard = len(phone.heard)
        await phone.hears(heard / 16000 + 0.5)
        assert (pid, before) == (worker.pid, len(service.runtime.opened))
        assert {404, 405, 200} >= {response.code for response in scanner.responses}
        assert 2500 > len(scanner.responses)  # the rest had silence
        await asyncio.sleep(1.0)
        assert 200 == await phone.ask("BYE")

"""Kamailio in front of two services, with the configuration that ships (Debian: kamailio)."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.peers.sip_caller import HOST, NUMBER, Caller, caller, free_port
from tests.peers.sip_registrar import certificate_for_localhost
from tests.service.world import Service, until
from tests.sip.world import needs_pjsua2, sip_of, sip_service
from voicebot.carriers.base import CallInfo, HungUp
from voicebot.carriers.sip import SipLine
from voicebot.carriers.sip_process import Worker
from voicebot.carriers.sip_setup import Setup
from voicebot.cli import app
from voicebot.core.sip_accounts import Account

CONFIG = Path(__file__).parents[2] / "deploy/kamailio/kamailio.cfg"
KAMAILIO = shutil.which("kamailio") or "/usr/sbin/kamailio"
pytestmark = [
    needs_pjsua2,
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which(KAMAILIO), reason="needs kamailio"),
]


@asynccontextmanager
async def proxy(
    folder: Path, services: list[Service], allowed: str = f"1 {HOST} 32", more: tuple[str, ...] = ()
) -> AsyncIterator[int]:
    """Its port, once it knows that the services are there."""
    port = free_port()
    looks = [_looked_at(service) for service in services]
    places = [f"{HOST}:{service.settings.sip_port}" for service in services]
    listed = (await asyncio.to_thread(CliRunner().invoke, app, ["sip", "workers", *places])).stdout
    assert len(places) == listed.count("duid=")
    (folder / "dispatcher.list").write_text("".join(f"{x}\n" for x in listed.splitlines() if x.startswith("1 sip:")))
    (folder / "address.list").write_text(allowed + "\n")
    given = (
        "-A",
        f"LISTEN=udp:{HOST}:{port}",
        "-A",
        f'FOLDER="{folder}/"',
        "-Y",
        str(folder),
        "-P",
        str(folder / "pid"),
        *more,
    )
    process = await asyncio.create_subprocess_exec(
        KAMAILIO, "-DD", "-E", "-m", "64", "-M", "8", "-f", str(CONFIG), *given, cwd=folder,
        stdout=asyncio.subprocess.DEVNULL, stderr=(folder / "kamailio.log").open("wb"),
    )  # fmt: skip
    try:
        async with caller(port) as phone, asyncio.timeout(15):
            while process.returncode is None:
                phone.call_id = "ready"
                phone.send(phone.request("OPTIONS"))
                await asyncio.sleep(0.2)
                if phone.responses:
                    break
        assert process.returncode is None, (folder / "kamailio.log").read_text()
        async with asyncio.timeout(5):
            await asyncio.gather(*(look.wait() for look in looks))
        await asyncio.sleep(0.1)  # it has the answers, too
        yield port
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def _looked_at(service: Service) -> asyncio.Event:
    """Set when the proxy has asked the service whether it can take calls."""
    door, asked = sip_of(service).door, asyncio.Event()
    assert door
    ready = door.ready

    def asking() -> str | None:
        asked.set()
        return ready()

    door.ready = asking
    return asked


@asynccontextmanager
async def world(folder: Path, **given: object) -> AsyncIterator[tuple[list[Service], int, list[Caller]]]:
    """Two services, the proxy's port, and six phones that call it."""
    async with AsyncExitStack() as stack:
        folders = [folder / "one", folder / "two"]
        services = [
            await stack.enter_async_context(sip_service(each, max_calls_per_caller=50, **given)) for each in folders
        ]
        port = await stack.enter_async_context(proxy(folder, services))
        yield services, port, [await stack.enter_async_context(caller(port)) for _ in range(6)]


def carried(services: list[Service]) -> list[int]:
    return [len(sip_of(service).workers[0].calls) for service in services]


async def test_calls_go_where_there_are_fewest_and_live_through_it(tmp_path: Path) -> None:
    async with world(tmp_path) as (services, _, phones):
        for phone in phones:
            phone.headers = (("X-Customer", "Ann\r\n  Bee"),)
        assert [200] * 4 == [await phone.invite() for phone in phones[:4]]
        assert [2, 2] == carried(services)
        assert 4 * [{"x-customer": "Ann Bee"}] == [info.headers for each in services for info in each.runtime.opened]
        await phones[0].hears(0.5)
        await phones[0].key("9")  # the bot hangs up
        await phones[0].is_asked("BYE")
        assert 200 == await phones[1].ask("BYE")  # the caller does
        await until(lambda: 2 == sum(carried(services)))


async def test_a_service_that_drains_gets_no_more_calls_and_keeps_those_it_has(tmp_path: Path) -> None:
    async with world(tmp_path) as (services, _, phones):
        assert [200, 200] == [await phone.invite() for phone in phones[:2]]
        services[0].runtime.state = "draining"
        assert [200, 200] == [await phone.invite() for phone in phones[2:4]]
        assert [1, 3] == carried(services)
        heard = len(phones[0].heard)
        await phones[0].hears(heard / 16000 + 0.2)


async def test_a_service_that_is_gone_is_passed_over(tmp_path: Path) -> None:
    async with world(tmp_path) as (services, _, phones):
        for face in sip_of(services[0])._faces.values():  # deaf, as a machine that lost its network
            face.close()
        assert [200, 200, 200] == [await phone.invite() for phone in phones[:3]]
        assert [0, 3] == carried(services)


async def test_when_all_are_full_it_is_said_so(tmp_path: Path) -> None:
    async with world(tmp_path, sip_calls_per_worker=1) as (_, _, phones):
        assert [200, 200, 503] == [await phone.invite() for phone in phones[:3]]


async def test_who_is_not_on_the_list_is_refused_and_a_flood_meets_silence(tmp_path: Path) -> None:
    async with sip_service(tmp_path / "one") as service:
        async with proxy(tmp_path, [service], "1 192.0.2.0 24") as port, caller(port) as phone:
            assert 403 == await phone.invite()
        async with proxy(tmp_path, [service]) as port, caller(port) as phone:
            for number in range(400):
                phone.call_id = f"flood{number}"
                phone.send(phone.request("OPTIONS"))
            await asyncio.sleep(1)
            assert len(phone.responses) < 250


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs the openssl program")
async def test_a_phone_speaks_tls_to_the_proxy_and_the_proxy_udp_to_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = await certificate_for_localhost(tmp_path)
    (tmp_path / "tls.cfg").write_text(
        f"[server:default]\nmethod = TLSv1.2+\nverify_certificate = no\n"
        f"private_key = {certificate.with_name('key.pem')}\ncertificate = {certificate}\n"
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    tls_port = free_port()
    with_tls = ("-A", "WITH_TLS=1", "-A", f"LISTEN_TLS=tls:{HOST}:{tls_port}")
    async with sip_service(tmp_path / "one") as service, proxy(tmp_path, [service], more=with_tls):
        account = Account("101", "", "localhost", tls_port, "tls", register=False)
        worker = Worker(Setup(accounts=(account,)).facts, lambda *_: None, lambda _: None)
        try:
            await until(lambda: worker.ready)
            number = worker.dial(account.address(NUMBER), 0, {})
            line = SipLine(CallInfo("out", "sip", "", ""), worker, number, str)
            worker.calls[number] = line
            assert await line.answered(5), line.ended
            await until(lambda: service.runtime.calls)
            [bots] = service.runtime.calls.values()
            await bots.hangup("bot_hangup")
            assert HungUp("caller_hangup") == [event async for event in line.events()][-1]
        finally:
            worker.close()

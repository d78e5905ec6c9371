"""An extension of an exchange: registered with a digest, called by it, and calling out with it."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.peers.sip_caller import HOST, NUMBER, caller
from tests.peers.sip_registrar import registrar, tcp_registrar, tls_registrar
from tests.service.world import until
from tests.sip.world import impatient, needs_pjsua2, sip_of, sip_service
from voicebot.core import sip
from voicebot.core.timeline import EndReason

pytestmark = needs_pjsua2


async def test_an_extension_registers_and_is_called_by_its_exchange(tmp_path: Path) -> None:
    async with registrar("101", "s3cret") as (exchange, phone):
        account = f"sip:101:s3cret@{HOST}:{phone.sip_port}"
        async with sip_service(tmp_path, sip_accounts=account, sip_allow="192.0.2.1") as service:
            await until(exchange.registered.is_set)
            assert 1 == exchange.refused  # the challenge; the second has the digest
            [worker] = sip_of(service).extensions
            await until(lambda: {f"101@{HOST}:{phone.sip_port}": 200} == worker.registered)
            await until(lambda: 1 == service.desk.metrics.sip_registered._value.get())
            await until(lambda: 4 == service.desk.metrics.sip_free._value.get())
            assert exchange.contact
            phone.to = exchange.contact
            assert 200 == await phone.invite(NUMBER)
            await phone.hears(0.5)
            assert NUMBER == service.runtime.opened[0].called
            assert 200 == await phone.ask("BYE")
            await until(lambda: service.runtime.ended)
            assert [EndReason.CALLER_HANGUP] == service.runtime.ended


async def test_an_exchange_may_call_the_extension_by_a_name_of_its_own(tmp_path: Path) -> None:
    async with registrar("101", "s3cret") as (exchange, phone):
        account = f"sip:101:s3cret@{HOST}:{phone.sip_port}"
        async with sip_service(tmp_path, sip_accounts=account) as service:
            await until(exchange.registered.is_set)
            assert exchange.contact
            phone.to, phone.call_id = exchange.contact, "its-own-name"
            invite = phone.request("INVITE", NUMBER, phone.sdp()).encode()
            phone.send(invite.replace(f"To: <sip:{NUMBER}@{HOST}>".encode(), f"To: <sip:{NUMBER}@pbx.lan>".encode()))
            answer = await phone.final("INVITE")
            assert 200 == answer.code
            phone._remote = answer
            phone.send(phone.request("ACK"))
            assert 200 == await phone.ask("BYE")
            await until(lambda: service.runtime.ended)


async def test_a_wrong_password_is_not_tried_for_ever_and_calls_go_on(tmp_path: Path) -> None:
    async with registrar("101", "s3cret") as (exchange, phone):
        account = f"sip:101:wrong@{HOST}:{phone.sip_port}"
        async with sip_service(tmp_path, sip_accounts=account) as service, caller(service.settings.sip_port) as other:
            [worker] = sip_of(service).extensions
            await until(lambda: worker.registered)
            assert 3 > exchange.refused
            assert {200} & set(worker.registered.values()) == set()
            assert 200 == await other.invite()
            assert "wrong" not in str(sip.value(phone.requests[-1].headers, "Authorization"))


async def test_strangers_do_not_come_in_by_the_accounts_own_port(tmp_path: Path) -> None:
    async with registrar("101", "s3cret") as (exchange, phone):
        account = f"sip:101:s3cret@{HOST}:{phone.sip_port}"
        async with sip_service(tmp_path, sip_accounts=account, sip_allow="192.0.2.1") as service:
            await until(exchange.registered.is_set)
            sip_of(service).admission.exchanges = ()  # type: ignore[union-attr]  # here everybody has one address
            assert exchange.contact
            phone.to = exchange.contact
            assert 403 == await phone.invite(NUMBER)
            assert [] == service.runtime.opened


async def test_over_tcp_an_extension_is_called_and_calls_by_the_connection_it_registered_by(tmp_path: Path) -> None:
    async with tcp_registrar("101", "s3cret") as (exchange, phone):
        account = f"sip:101:s3cret@{HOST}:{phone.sip_port};transport=tcp"
        async with sip_service(tmp_path, sip_accounts=account, sip_allow="192.0.2.1") as service:
            await until(lambda: exchange.contact)
            assert exchange.contact
            phone.to = exchange.contact
            assert 200 == await phone.invite(NUMBER)
            await phone.hears(0.5)
            assert 200 == await phone.offer(NUMBER, phone.sdp(direction="sendonly"))
            assert 200 == await phone.offer(NUMBER, phone.sdp())
            await phone.key("9")
            await phone.is_asked("BYE")
            await until(lambda: [EndReason.BOT_HANGUP] == service.runtime.ended)
            assert service.desk.dial
            phone._remote = None
            line = await service.desk.dial("+15551234567")
            invite = await phone.is_asked("INVITE")
            assert f"sip:+15551234567@{HOST}:{phone.sip_port};transport=tcp" == invite.uri
            assert "TCP" == sip.vias(invite.headers)[0].transport
            await line.hangup("bot_hangup")
            await phone.is_asked("BYE")


async def test_a_connection_that_is_lost_is_made_again_and_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch)
    async with tcp_registrar("101", "s3cret") as (exchange, phone):
        account = f"sip:101:s3cret@{HOST}:{phone.sip_port};transport=tcp"
        async with sip_service(tmp_path, sip_accounts=account):
            await until(lambda: exchange.contact)
            exchange.contact = None
            phone._sip.close()
            await until(lambda: exchange.contact)


needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="needs the openssl program")


@needs_openssl
async def test_an_account_may_register_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with tls_registrar(tmp_path, "101", "s3cret") as (exchange, port, certificate):
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        account = f"sip:101:s3cret@localhost:{port};transport=tls"
        async with sip_service(tmp_path, sip_accounts=account) as service:
            [worker] = sip_of(service).extensions
            await until(lambda: {f"101@localhost:{port}": 200} == worker.registered)
            assert exchange.registered.is_set()


@needs_openssl
async def test_an_exchange_nobody_vouches_for_never_sees_the_password(tmp_path: Path) -> None:
    async with tls_registrar(tmp_path, "101", "s3cret") as (exchange, port, _):
        account = f"sip:101:s3cret@localhost:{port};transport=tls"
        async with sip_service(tmp_path, sip_accounts=account) as service:
            [worker] = sip_of(service).extensions
            await until(lambda: worker.registered)
            await asyncio.sleep(0.5)
            assert 200 not in worker.registered.values()
            assert (0, False) == (exchange.refused, exchange.registered.is_set())


async def test_a_call_through_the_door_to_an_accounts_own_name_is_the_doors_to_its_end(tmp_path: Path) -> None:
    async with registrar(NUMBER, "s3cret") as (_, phone):
        account = f"sip:%2B{NUMBER[1:]}:s3cret@{HOST}:{phone.sip_port}"
        async with sip_service(tmp_path, sip_accounts=account) as service, caller(service.settings.sip_port) as other:
            assert 200 == await other.invite(NUMBER)
            await other.hears(0.3)
            assert 200 == await other.offer(body=other.sdp())
            await other.key("9")
            await other.is_asked("BYE")
            await until(lambda: service.runtime.ended)
            assert [EndReason.BOT_HANGUP] == service.runtime.ended
            [worker] = sip_of(service).workers
            await until(lambda: worker.free == worker.capacity)

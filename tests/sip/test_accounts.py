"""An extension of an exchange: registered with a digest, called by it, and calling out with it."""

from __future__ import annotations

from pathlib import Path

from tests.peers.sip_caller import HOST, NUMBER, caller
from tests.peers.sip_registrar import registrar
from tests.service.world import until
from tests.sip.world import needs_pjsua2, sip_of, sip_service
from voicebot.core import sip
from voicebot.core.timeline import EndReason

pytestmark = needs_pjsua2


async def test_an_extension_registers_and_is_called_by_its_exchange(tmp_path: Path) -> None:
    async with registrar("101", "s3cret") as exchange:
        account = f"sip:101:s3cret@{HOST}:{exchange.phone.sip_port}"
        async with sip_service(tmp_path, sip_accounts=account, sip_allow="192.0.2.1") as service:
            await until(exchange.registered.is_set)
            assert 1 == exchange.refused  # the challenge; the second has the digest
            [worker] = sip_of(service).workers
            await until(lambda: {f"101@{HOST}:{exchange.phone.sip_port}": 200} == worker.registered)
            assert exchange.contact
            exchange.phone.to = exchange.contact
            assert 200 == await exchange.phone.invite(NUMBER)
            await exchange.phone.hears(0.5)
            assert NUMBER == service.runtime.opened[0].called
            assert 200 == await exchange.phone.ask("BYE")
            await until(lambda: service.runtime.ended)
            assert [EndReason.CALLER_HANGUP] == service.runtime.ended


async def test_a_wrong_password_is_not_tried_for_ever_and_calls_go_on(tmp_path: Path) -> None:
    async with registrar("101", "s3cret") as exchange:
        account = f"sip:101:wrong@{HOST}:{exchange.phone.sip_port}"
        async with sip_service(tmp_path, sip_accounts=account) as service, caller(service.settings.sip_port) as phone:
            [worker] = sip_of(service).workers
            await until(lambda: worker.registered)
            assert 3 > exchange.refused
            assert {200} & set(worker.registered.values()) == set()
            assert 200 == await phone.invite()
            assert "wrong" not in str(sip.value(exchange.phone.requests[-1].headers, "Authorization"))


async def test_strangers_do_not_come_in_by_the_accounts_own_port(tmp_path: Path) -> None:
    async with registrar("101", "s3cret") as exchange:
        account = f"sip:101:s3cret@{HOST}:{exchange.phone.sip_port}"
        async with sip_service(tmp_path, sip_accounts=account, sip_allow="192.0.2.1") as service:
            await until(exchange.registered.is_set)
            sip_of(service).admission.exchanges = ()  # type: ignore[union-attr]  # here everybody has one address
            assert exchange.contact
            exchange.phone.to = exchange.contact
            assert 403 == await exchange.phone.invite(NUMBER)
            assert [] == service.runtime.opened

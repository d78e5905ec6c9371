"""An account with backups: where it registers, is called and calls out while its first registrar is away."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.peers.sip_caller import HOST, NUMBER, Caller
from tests.peers.sip_registrar import Registrar, registrar
from tests.service.world import Service, until
from tests.sip.world import impatient, needs_pjsua2, sip_of, sip_service
from voicebot.cli import app
from voicebot.core.sip_accounts import accounts
from voicebot.core.sip_limits import networks
from voicebot.errors import PeerError
from voicebot.service import sip as service_sip

pytestmark = needs_pjsua2


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch)


def account(first: Caller, second: Caller) -> str:
    return f"sip:101:s3cret@{HOST}:{first.sip_port};backup={HOST}:{second.sip_port}"


def in_use(service: Service, first: Caller, second: Caller) -> list[float]:
    gauge = service.desk.metrics.sip_registrar
    return [gauge.labels("1", f"{HOST}:{each.sip_port}")._value.get() for each in (first, second)]


def accounts_of(service: Service) -> str:
    """What the command says of the running service."""
    settings = service.settings
    own, token = settings.sip_accounts.get_secret_value(), settings.console_token.get_secret_value()
    env = {"VOICEBOT_SIP_ACCOUNTS": own, "VOICEBOT_CONSOLE_TOKEN": token, "VOICEBOT_PORT": service.base.split(":")[-1]}
    result = CliRunner().invoke(app, ["sip", "accounts"], env=env)
    assert 0 == result.exit_code
    return result.stdout.strip()


async def is_called_from(exchange: Registrar, phone: Caller, service: Service) -> None:
    assert exchange.contact
    phone.to, already = exchange.contact, len(service.runtime.ended)
    assert 200 == await phone.invite(NUMBER)
    await phone.hears(0.3)
    assert 200 == await phone.ask("BYE")
    await until(lambda: already < len(service.runtime.ended))


async def test_a_registrar_that_is_away_is_replaced_until_it_is_back(tmp_path: Path) -> None:
    async with registrar("101", "s3cret") as (one, first), registrar("101", "s3cret") as (two, second):
        one.silent = True
        async with sip_service(tmp_path, sip_accounts=account(first, second), sip_allow="192.0.2.1") as service:
            [worker] = sip_of(service).extensions
            await until(lambda: [0, 1] == in_use(service, first, second))
            assert {f"101@{HOST}:{first.sip_port}": f"{HOST}:{second.sip_port}"} == worker.registrars
            await is_called_from(two, second, service)
            told = await asyncio.to_thread(accounts_of, service)
            assert f"101@{HOST}:{first.sip_port}: registered at {HOST}:{second.sip_port}, a backup" == told
            one.silent = False
            await until(lambda: one.contact)
            await until(lambda: [1, 0] == in_use(service, first, second))
            await until(lambda: two.contact is None)  # given up, once the first is steady
            await is_called_from(one, first, service)
            assert [200] == list(worker.registered.values())


async def test_a_registrar_that_dies_takes_no_call_with_it_and_calls_out_go_where_the_registration_went(
    tmp_path: Path,
) -> None:
    async with registrar("101", "s3cret") as (one, first), registrar("101", "s3cret") as (two, second):
        one.expires_s = 3
        async with sip_service(tmp_path, sip_accounts=account(first, second)) as service:
            await until(lambda: one.contact)
            assert one.contact
            first.to = one.contact
            assert 200 == await first.invite(NUMBER)
            one.silent = True
            await until(lambda: two.contact)
            await until(lambda: [0, 1] == in_use(service, first, second))
            second.answers["INVITE"] = 486
            dial = service.desk.dial
            assert dial
            with pytest.raises(PeerError, match="486"):
                await dial("+15551234567")
            [invite] = [each for each in second.requests if each.method == "INVITE"]
            assert f"sip:+15551234567@{HOST}:{second.sip_port}" == invite.uri
            assert [] == service.runtime.ended
            await first.key("9")  # the call is as it was
            await first.is_asked("BYE")


async def test_a_wrong_password_is_not_carried_on_to_the_backup(tmp_path: Path) -> None:
    async with registrar("101", "other") as (_, first), registrar("101", "s3cret") as (two, second):
        own = account(first, second)
        async with sip_service(tmp_path, sip_accounts=own) as service:
            [worker] = sip_of(service).extensions
            await until(lambda: worker.registered)
            await asyncio.sleep(1.5)  # it would be asked within a second
            assert ([], 0) == (second.requests, two.refused)
            assert [0, 0] == in_use(service, first, second)


async def test_with_a_proxy_a_backup_is_another_proxy_and_the_domain_stays(tmp_path: Path) -> None:
    async with registrar("101", "s3cret") as (one, first), registrar("101", "s3cret") as (two, second):
        one.out_of_order = True
        places = f"proxy={HOST}:{first.sip_port};backup={HOST}:{second.sip_port}"
        async with sip_service(tmp_path, sip_accounts=f"sip:101:s3cret@localhost;{places}"):
            await until(lambda: two.contact)
            assert {"sip:localhost;transport=udp"} == {each.uri for each in (*first.requests, *second.requests)}


async def test_calls_may_come_from_every_place_of_an_account() -> None:
    [account] = accounts("sip:101:x@127.0.0.2;backup=127.0.0.3:5070;backup=127.0.0.4")
    [behind] = accounts("sip:101:x@127.0.0.2;proxy=127.0.0.5;backup=127.0.0.6:5070")
    assert set(networks("127.0.0.2 127.0.0.3 127.0.0.4")) == set(await service_sip._addresses(account))
    assert set(networks("127.0.0.2 127.0.0.5 127.0.0.6")) == set(await service_sip._addresses(behind))

"""Cold transfer: REFER, what the far end tells of it, and the way back to the bot when it fails."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.peers.sip_caller import HOST, Caller, caller
from tests.service.world import until
from tests.sip.world import needs_pjsua2, sip_service
from voicebot.carriers.base import Digit
from voicebot.core import sip
from voicebot.core.timeline import EndReason
from voicebot.errors import PeerError

pytestmark = needs_pjsua2


async def tells(phone: Caller, status: str, over: bool) -> None:
    """NOTIFY of how the transfer goes."""
    state = "terminated;reason=noresource" if over else "active;expires=60"
    phone.headers = (("Event", "refer"), ("Subscription-State", state))
    assert 200 == await phone.ask("NOTIFY", f"SIP/2.0 {status}\r\n".encode(), "message/sipfrag;version=2.0")


async def test_a_caller_is_put_through_and_our_leg_ends_when_the_other_stands(tmp_path: Path) -> None:
    async with sip_service(tmp_path) as service, caller(service.settings.sip_port) as phone:
        phone.answers["REFER"] = 202
        await phone.invite()
        await phone.key("8")
        refer = await phone.is_asked("REFER")
        assert f"sip:+12025550142@{HOST}" == sip.value(refer.headers, "Refer-To").strip("<>")
        await tells(phone, "100 Trying", over=False)
        await tells(phone, "180 Ringing", over=False)
        assert [] == [each for each in phone.requests if each.method == "BYE"]
        await tells(phone, "200 OK", over=True)
        bye = await phone.is_asked("BYE")
        assert 'text="transfer"' in sip.value(bye.headers, "Reason")
        await until(lambda: service.runtime.ended)
        assert [EndReason.TRANSFER] == service.runtime.ended


@pytest.mark.parametrize("fails", ["486 Busy Here", "603 Decline"])
async def test_a_transfer_that_fails_leaves_the_caller_with_the_bot(tmp_path: Path, fails: str) -> None:
    async with sip_service(tmp_path) as service, caller(service.settings.sip_port) as phone:
        phone.answers["REFER"] = 202
        await phone.invite()
        await until(lambda: service.runtime.calls)
        [line] = service.runtime.calls.values()
        async with asyncio.TaskGroup() as group:
            transfer = group.create_task(_fails(line.transfer("sip:desk@127.0.0.1:9")))
            refer = await phone.is_asked("REFER")
            assert "sip:desk@127.0.0.1:9" == sip.value(refer.headers, "Refer-To").strip("<>")
            await tells(phone, fails, over=True)
        assert fails[:3] in transfer.result()
        await phone.key("5")
        await until(lambda: [Digit("5")] == service.runtime.got(Digit))
        assert 200 == await phone.ask("BYE")


async def test_a_phone_that_cannot_transfer_says_so_at_once(tmp_path: Path) -> None:
    async with sip_service(tmp_path) as service, caller(service.settings.sip_port) as phone:
        phone.answers["REFER"] = 501
        await phone.invite()
        await until(lambda: service.runtime.calls)
        [line] = service.runtime.calls.values()
        assert "501" in await _fails(line.transfer("+12025550142"))
        assert 200 == await phone.ask("BYE")


async def test_a_caller_that_hangs_up_meanwhile_ends_the_waiting(tmp_path: Path) -> None:
    async with sip_service(tmp_path) as service, caller(service.settings.sip_port) as phone:
        phone.answers["REFER"] = 202
        await phone.invite()
        await until(lambda: service.runtime.calls)
        [line] = service.runtime.calls.values()
        async with asyncio.TaskGroup() as group:
            transfer = group.create_task(_fails(line.transfer("+12025550142")))
            await phone.is_asked("REFER")
            assert 200 == await phone.ask("BYE")
        assert "" == transfer.result()  # many phones end our leg themselves once the other stands


async def _fails(transfer: object) -> str:
    try:
        await transfer  # type: ignore[misc]
    except PeerError as error:
        return str(error)
    return ""

"""`voicebot serve` takes SIP by itself, says why where it cannot, and is missed when it is killed."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.commands.test_serve import served
from tests.peers.sip_caller import HOST, caller, free_port
from tests.sip.world import needs_pjsua2
from voicebot.core import sip


@needs_pjsua2
async def test_a_killed_service_says_goodbye_to_its_callers(tmp_path: Path) -> None:
    port = free_port()
    sip_settings = {"VOICEBOT_SIP_WORKERS": "1", "VOICEBOT_SIP_PORT": str(port)}
    async with (
        served(tmp_path, **sip_settings, VOICEBOT_DEFAULT_DIALPLAN="waiting") as service,
        caller(port) as phone,
    ):
        assert f"sip:{HOST}:{port}" in service.printed
        assert 200 == await phone.invite("anything")
        await phone.hears(0.5)
        service.process.kill()
        bye = await phone.is_asked("BYE")
        assert "a1" == sip.tag(sip.value(bye.headers, "To"))


async def test_with_its_port_taken_the_rest_of_the_service_starts_and_says_why(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((HOST, 0))
        port = taken.getsockname()[1]
        async with served(tmp_path, VOICEBOT_SIP_WORKERS="1", VOICEBOT_SIP_PORT=str(port)) as service:
            assert f"UDP port {port} of {HOST} cannot be had: address already in use" in service.printed
            await service.is_told("ready")

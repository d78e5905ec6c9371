"""Calling out: over SIP in this process, through Twilio in the running service."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.commands.test_serve import DIALPLAN
from tests.peers.sip_caller import HOST, caller
from tests.peers.twilio_rest import ACCOUNT, TOKEN, twilio_rest
from tests.sip.world import needs_pjsua2
from voicebot.cli import app
from voicebot.commands.dial import destination
from voicebot.core.sip_accounts import accounts
from voicebot.errors import PeerError, UsageError

OWN = accounts("sip:101:secret@pbx.example.com sip:bot:secret@10.0.0.7:5070;transport=tcp")


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("VOICEBOT_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return


def test_a_number_goes_out_by_the_first_account_and_an_address_by_the_account_at_its_host() -> None:
    assert ("sip:+15551234567@pbx.example.com", OWN[0]) == destination("+15551234567", OWN)
    assert ("sip:anna@10.0.0.7", OWN[1]) == destination("sip:anna@10.0.0.7", OWN)
    assert ("sip:anna@example.com", None) == destination("sip:anna@example.com", OWN)


@pytest.mark.parametrize("to", ["5551212", "+", "sip:", "+1555;postd=1", "anna", "sip:a b@c", "+٣٤٥٦٧٨٩١"])
def test_what_is_neither_is_said_so(to: str) -> None:
    with pytest.raises(UsageError):
        destination(to, OWN)


def test_a_number_without_a_way_out_says_what_is_missing() -> None:
    result = CliRunner().invoke(app, ["dial", "+15551234567"])
    assert isinstance(result.exception, UsageError)
    assert "VOICEBOT_SIP_ACCOUNTS" in str(result.exception)


def test_what_is_no_key_is_not_pressed() -> None:
    result = CliRunner().invoke(app, ["dial", "sip:anna@127.0.0.1", "--keys", "1a"])
    assert isinstance(result.exception, UsageError)


def test_a_number_goes_out_through_twilio_and_the_running_service_talks(monkeypatch: pytest.MonkeyPatch) -> None:
    with twilio_rest() as rest:
        for name, value in (("ACCOUNT_SID", ACCOUNT), ("AUTH_TOKEN", TOKEN), ("API_URL", rest.url)):
            monkeypatch.setenv(f"VOICEBOT_TWILIO_{name}", value)
        monkeypatch.setenv("VOICEBOT_PUBLIC_URL", "https://bot.example.com")
        result = CliRunner().invoke(app, ["dial", "+15551234567", "--from", "+15550002222"])
        assert (0, "CAnew") == (result.exit_code, result.stdout.strip())
        form = {"To": "+15551234567", "From": "+15550002222", "Url": "https://bot.example.com/twilio/voice"}
        assert [("new", form)] == rest.asked
        rest.fails = (400, 21211)
        result = CliRunner().invoke(app, ["dial", "+15551234567", "--from", "+15550002222"])
        assert isinstance(result.exception, PeerError)
        result = CliRunner().invoke(app, ["dial", "+15551234567"])
        assert "--from" in str(result.exception)


@needs_pjsua2
@pytest.mark.parametrize("answer", [200, 486])
async def test_the_bot_calls_speaks_and_prints_the_conversation(tmp_path: Path, answer: int) -> None:
    (tmp_path / "waiting.yaml").write_text(DIALPLAN)
    given = {"VOICEBOT_DIALPLANS": "waiting.yaml", "PYTHONPATH": str(Path(__file__).parents[2])}
    async with caller(0) as phone:
        phone.answers["INVITE"] = answer
        address = f"sip:anna@{HOST}:{phone.sip_port}"
        command = (sys.executable, "-c", "from voicebot.cli import main; main()", "dial", address)
        process = await asyncio.create_subprocess_exec(
            *command, "--dialplan", "waiting", "--keys", "42#", env=os.environ | given, cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            async with asyncio.timeout(40):
                if answer == 200:
                    while len(phone.heard) < 16000 * 3:  # "Say yes or no."
                        await phone.more()
                    assert "42#" == phone.pressed
                    await phone.hang_up()
                output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        said = output.decode()
        assert ("Say yes or no." in said, "486" in said) == (answer == 200, answer == 486), said
        assert (0 if answer == 200 else 2) == process.returncode

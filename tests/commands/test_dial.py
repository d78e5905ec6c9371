"""Calling out: over SIP in this process, through Twilio in the running service."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.commands.test_serve import DIALPLAN
from tests.peers.sip_caller import HOST, Caller, caller
from tests.peers.twilio_rest import ACCOUNT, TOKEN, twilio_rest
from tests.sip.world import needs_pjsua2
from voicebot.cli import app
from voicebot.core.sip_accounts import accounts, ways
from voicebot.errors import PeerError, UsageError

OWN = accounts("sip:101:secret@pbx.example.com sip:bot:secret@10.0.0.7:5070;transport=tcp")


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("VOICEBOT_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return


def test_a_number_goes_out_by_the_accounts_in_order_and_an_address_by_the_account_at_its_host() -> None:
    by_second = "sip:+15551234567@10.0.0.7:5070;transport=tcp"
    assert [("sip:+15551234567@pbx.example.com", OWN[0]), (by_second, OWN[1])] == ways("+15551234567", OWN)
    assert [("sip:anna@10.0.0.7", OWN[1])] == ways("sip:anna@10.0.0.7", OWN)
    assert [("sip:anna@example.com", None)] == ways("sip:anna@example.com", OWN)


@pytest.mark.parametrize("to", ["5551212", "+", "sip:", "+1555;postd=1", "anna", "sip:a b@c", "+٣٤٥٦٧٨٩١"])
def test_what_is_neither_is_said_so(to: str) -> None:
    with pytest.raises(UsageError):
        ways(to, OWN)


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


async def run(folder: Path, *words: str, talk: Callable[[], Awaitable[None]], **more: str) -> tuple[int, str]:
    """`voicebot dial` with these words, while `talk` is the far end: exit code and what it printed."""
    (folder / "waiting.yaml").write_text(DIALPLAN)
    given = {"VOICEBOT_DIALPLANS": "waiting.yaml", "PYTHONPATH": str(Path(__file__).parents[2]), **more}
    command = (sys.executable, "-c", "from voicebot.cli import main; main()", "dial", *words, "--dialplan", "waiting")
    process = await asyncio.create_subprocess_exec(
        *command, env=os.environ | given, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(40):
            await talk()
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def listens(phone: Caller) -> None:
    """To "Say yes or no.", and hangs up."""
    while len(phone.heard) < 16000 * 3:
        await phone.more()
    await phone.hang_up()


@needs_pjsua2
async def test_the_bot_calls_presses_keys_speaks_and_prints_the_conversation(tmp_path: Path) -> None:
    async with caller(0) as phone:
        words = (f"sip:anna@{HOST}:{phone.sip_port}", "--keys", "42#")
        code, said = await run(tmp_path, *words, talk=lambda: listens(phone))
        assert (0, "42#", True) == (code, phone.pressed, "Say yes or no." in said), said


@needs_pjsua2
async def test_whom_it_does_not_reach_it_says_with_the_reason(tmp_path: Path) -> None:
    async with caller(0) as phone:
        phone.answers["INVITE"] = 486
        code, said = await run(tmp_path, f"sip:anna@{HOST}:{phone.sip_port}", talk=lambda: asyncio.sleep(0))
        assert (2, True) == (code, "486" in said), said


@needs_pjsua2
@pytest.mark.slow
async def test_an_account_that_cannot_place_a_call_leaves_it_to_the_next(tmp_path: Path) -> None:
    async with caller(0) as broken, caller(0) as phone:
        broken.answers["INVITE"] = 503
        own = " ".join(f"sip:bot:x@{HOST}:{each.sip_port};register=no" for each in (broken, phone))
        code, said = await run(tmp_path, "+15551234567", talk=lambda: listens(phone), VOICEBOT_SIP_ACCOUNTS=own)
        assert (0, True) == (code, "Say yes or no." in said), said
        assert ["INVITE"] == [each.method for each in broken.requests if each.method != "ACK"]

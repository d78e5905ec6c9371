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
from tests.sip.world import needs_pjsua2
from voicebot.cli import app
from voicebot.commands.dial import destination
from voicebot.core.sip_accounts import accounts
from voicebot.errors import UsageError

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
            *command, "--dialplan", "waiting", env=os.environ | given, cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            async with asyncio.timeout(40):
                if answer == 200:
                    while len(phone.heard) < 16000 * 3:  # "Say yes or no."
                        await phone.more()
                    await phone.hang_up()
                output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        said = output.decode()
        assert ("Say yes or no." in said, "486" in said) == (answer == 200, answer == 486), said
        assert (0 if answer == 200 else 2) == process.returncode

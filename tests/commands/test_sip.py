"""The dispatcher list for a proxy in front."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.peers.sip_caller import HOST, free_port
from voicebot.cli import app
from voicebot.errors import UsageError


def test_a_line_for_each_service_and_how_it_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VOICEBOT_SIP_WORKERS", "2")
    nobody = f"{HOST}:{free_port()}"
    result = CliRunner().invoke(app, ["sip", "workers", nobody, "--set", "3"])
    assert f"3 sip:{nobody} 0 0 duid={nobody.replace(chr(58), chr(45))};maxload=8" in result.output
    assert "has not answered" in result.output


def test_what_is_no_address_is_said_so() -> None:
    result = CliRunner().invoke(app, ["sip", "workers", "nowhere"])
    assert isinstance(result.exception, UsageError)


def test_who_has_no_accounts_is_told_how_to_have_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VOICEBOT_SIP_ACCOUNTS", raising=False)
    result = CliRunner().invoke(app, ["sip", "accounts"])
    assert isinstance(result.exception, UsageError)
    assert "VOICEBOT_SIP_ACCOUNTS" in str(result.exception)

"""`voicebot doctor`: what can run, what is missing, and 1 only when the service could not start."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from voicebot.commands import doctor, settings
from voicebot.config import Settings
from voicebot.engines import vad_silero

DIALPLANS = Path(__file__).parents[2] / "dialplans"
app = typer.Typer()
app.command()(doctor.doctor)


@pytest.fixture(autouse=True)
def taken_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """An empty folder, none of this machine's settings, dialplans that ship, a free port; and a port that is taken."""
    monkeypatch.chdir(tmp_path)
    for name, field in Settings.model_fields.items():
        for variable in settings.variables(name, field):
            monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("VOICEBOT_DIALPLANS", str(DIALPLANS))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("VOICEBOT_PORT", str(free.getsockname()[1]))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def examine() -> tuple[int, dict[tuple[str, str], dict[str, Any]]]:
    """The exit code, and findings by topic and name."""
    result = CliRunner().invoke(app, ["--json"])
    report = json.loads(result.stdout)
    assert report["can_start"] == (result.exit_code == 0)
    return result.exit_code, {(f["topic"], f["name"]): f for f in report["findings"]}


def test_a_base_install_can_start() -> None:
    code, found = examine()
    assert 0 == code
    for topic, name in [("voice activity", "webrtc"), ("recogniser", "pocketsphinx"), ("agent", "scripted")]:
        assert "ok" == found[topic, name]["verdict"]
    assert "ok" == found["dialplans", "coffee.yaml"]["verdict"]


def test_missing_twilio_credentials_are_a_note_that_says_what_to_set() -> None:
    code, found = examine()
    assert (0, "note") == (code, found["carriers", "twilio"]["verdict"])
    for name in ("VOICEBOT_TWILIO_AUTH_TOKEN", "VOICEBOT_TWILIO_ACCOUNT_SID", "VOICEBOT_PUBLIC_URL"):
        assert name in found["carriers", "twilio"]["detail"]


def test_twilio_needs_https(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEBOT_TWILIO_AUTH_TOKEN", "tell-nobody")
    monkeypatch.setenv("VOICEBOT_TWILIO_ACCOUNT_SID", "AC0")
    monkeypatch.setenv("VOICEBOT_PUBLIC_URL", "http://bot.example")
    _, found = examine()
    assert "note" == found["carriers", "twilio"]["verdict"]
    monkeypatch.setenv("VOICEBOT_PUBLIC_URL", "https://bot.example")
    _, found = examine()
    assert "ok" == found["carriers", "twilio"]["verdict"]
    assert "tell-nobody" not in str(found)


def test_sip_that_cannot_be_is_a_note_that_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("VOICEBOT_SIP_PORT", str(taken.getsockname()[1]))
        code, found = examine()
    if importlib.util.find_spec("pjsua2"):
        assert "VOICEBOT_SIP_PORT" in found["carriers", "sip"]["detail"]
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    _, without = examine()
    assert "pjsua2-python is not installed" in without["carriers", "sip"]["detail"]
    monkeypatch.setenv("VOICEBOT_SIP_PORT", "0")
    _, off = examine()
    assert "switched off." == off["carriers", "sip"]["detail"]
    assert (0, ["note"] * 3) == (code, [each["carriers", "sip"]["verdict"] for each in (found, without, off)])


@pytest.mark.parametrize("name", ["HOST", "PUBLIC_ADDRESS"])
def test_sip_over_ipv6_is_a_note_that_says_so(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"VOICEBOT_SIP_{name}", "2001:db8::1")
    code, found = examine()
    assert (0, "note") == (code, found["carriers", "sip"]["verdict"])
    assert found["carriers", "sip"]["detail"].startswith(f"VOICEBOT_SIP_{name}=2001:db8::1: SIP is spoken over IPv4")


WARM = """
name: warm
description: Puts callers through.
transfers:
  desk: {to: "+12025550142"}
  team: {to: "+12025550143", kind: warm}
  boss: {to: "sip:boss@pbx.example.com", kind: warm}
start: hello
nodes: {hello: {say: Hello., do: [{hang_up: Goodbye.}]}}
"""


def test_a_warm_transfer_that_is_cold_for_twilios_callers_is_a_note(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "warm.yaml").write_text(WARM)
    monkeypatch.setenv("VOICEBOT_DIALPLANS", str(tmp_path / "warm.yaml"))
    where = "dialplans", "warm.yaml: transfers"
    monkeypatch.setattr("voicebot.commands.checks.lacking", lambda _: "")
    assert where not in examine()[1]  # without Twilio there are no such callers
    monkeypatch.setenv("VOICEBOT_TWILIO_ACCOUNT_SID", "AC0")
    monkeypatch.setenv("VOICEBOT_TWILIO_AUTH_TOKEN", "tell-nobody")
    found = examine()[1]
    assert "note" == found[where]["verdict"]
    assert found[where]["detail"].startswith("team: warm, but cold for calls through Twilio")
    monkeypatch.setenv("VOICEBOT_SIP_ACCOUNTS", "sip:101:secret@pbx.example.com")
    assert where not in examine()[1]
    monkeypatch.setattr("voicebot.commands.checks.lacking", lambda _: "switched off.")
    assert examine()[1][where]["detail"].startswith(
        "team, boss: warm, but cold for calls through Twilio: the service has"
    )


def test_a_taken_port_stops_the_service(taken_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEBOT_PORT", str(taken_port))
    code, found = examine()
    assert (1, "fault") == (code, found["place", f"port {taken_port}"]["verdict"])
    assert "VOICEBOT_PORT" in found["place", f"port {taken_port}"]["detail"]


def test_an_open_address_needs_a_console_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEBOT_HOST", "0.0.0.0")
    code, found = examine()
    assert (1, "fault") == (code, found["carriers", "browser"]["verdict"])
    monkeypatch.setenv("VOICEBOT_CONSOLE_TOKEN", "tell-nobody")
    code, found = examine()
    assert (0, "ok") == (code, found["carriers", "browser"]["verdict"])
    assert "tell-nobody" not in str(found)


def test_one_bad_dialplan_is_a_note_and_none_good_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "plans"
    folder.mkdir()
    (folder / "broken.yaml").write_text("name: [")
    monkeypatch.setenv("VOICEBOT_DIALPLANS", str(folder))
    code, found = examine()
    assert (1, "fault") == (code, found["dialplans", str(folder)]["verdict"])
    shutil.copy(DIALPLANS / "coffee.yaml", folder)
    code, found = examine()
    assert (0, "note") == (code, found["dialplans", "broken.yaml"]["verdict"])
    assert "broken.yaml:1" in found["dialplans", "broken.yaml"]["detail"]


def test_a_dialplan_whose_engines_cannot_run_says_which_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = (DIALPLANS / "coffee.yaml").read_text()
    (tmp_path / "coffee.yaml").write_text(plan + "\nengines:\n  llm: [openai]\n")
    monkeypatch.setenv("VOICEBOT_DIALPLANS", str(tmp_path / "coffee.yaml"))
    code, found = examine()
    assert (1, "note") == (code, found["dialplans", "coffee.yaml"]["verdict"])
    assert "llm" in found["dialplans", "coffee.yaml"]["detail"]
    (tmp_path / ".env").write_text("VOICEBOT_OPENAI_API_KEY=not-a-key\n")
    code, found = examine()
    assert (0, "ok") == (code, found["dialplans", "coffee.yaml"]["verdict"])


def test_without_silero_the_service_starts_and_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vad_silero, "model_file", lambda: None)
    code, found = examine()
    assert (0, "note") == (code, found["voice activity", "silero"]["verdict"])
    assert "silero-vad" in found["voice activity", "silero"]["detail"]


def test_a_data_folder_that_cannot_be_made_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VOICEBOT_DATA_DIR", str(tmp_path / "file" / "data"))
    code, found = examine()
    assert (1, "fault") == (code, found["place", "data folder"]["verdict"])


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEBOT_DATA_DIR", str(tmp_path / "data"))
    before = sorted(os.listdir(tmp_path))
    examine()
    assert before == sorted(os.listdir(tmp_path))


def test_a_setting_that_cannot_be_is_said_and_stops_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEBOT_PORT", "eighty")
    code, found = examine()
    assert (1, "fault") == (code, found["settings", "values"]["verdict"])


def test_the_table_ends_with_whether_the_service_can_start() -> None:
    assert "The service can start" in CliRunner().invoke(app, []).stdout.splitlines()[-1]


def test_a_dialplans_engines_are_named_in_order_and_so_are_those_that_cannot_run() -> None:
    detail = examine()[1]["dialplans", "coffee.yaml"]["detail"]
    assert "asr pocketsphinx; llm scripted, without openai; tts espeak" in detail

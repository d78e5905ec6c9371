"""`voicebot measure turns`: a whole run with few clips, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from voicebot.commands.measure import app
from voicebot.commands.turns import turns
from voicebot.errors import UsageError

CLIPS = Path(__file__).parent.parent / "data" / "turns"


@pytest.fixture(autouse=True)
def command(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runner closes its own standard error, which no logger may keep."""
    monkeypatch.setattr("voicebot.log.configure", lambda **_: None)
    if not any(each.callback is turns for each in app.registered_commands):
        app.command()(turns)


@pytest.mark.slow
def test_a_coffee_order_over_the_bot_is_obeyed_and_told_with_its_figures(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    arguments = ["turns", str(CLIPS), "--only", "order", "--limit", "1", "--out", str(out), "--keep", str(tmp_path)]
    printed = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert "coffee order" in printed.output
    found = json.loads(out.read_text())
    assert "1 of 1 (100%)" == found["summary"]["interruptions obeyed"]
    (trial,) = found["trials"]
    assert "yielded" == trial["verdict"]["outcome"]
    assert trial["verdict"]["hold_ms"] <= trial["commit_ms"]
    assert 0 < trial["verdict"]["heard"]
    assert [] == trial["strange"]
    assert 1 == len(list(tmp_path.glob("*.wav")))


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="MANIFEST"):
        CliRunner().invoke(app, ["turns", str(tmp_path)], catch_exceptions=False)


def test_a_peer_that_is_not_on_this_machine_is_refused() -> None:
    arguments = ["turns", str(CLIPS), "--limit", "1", "--peer-url", "ws://192.0.2.1/media"]
    with pytest.raises(UsageError, match="not on this machine"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)

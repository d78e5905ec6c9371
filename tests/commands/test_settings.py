"""`voicebot settings`: values, where they came from, and nothing secret."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from voicebot.commands import settings
from voicebot.config import Settings
from voicebot.errors import UsageError

app = typer.Typer()
app.command()(settings.settings)


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, and none of this machine's settings."""
    monkeypatch.chdir(tmp_path)
    for name, field in Settings.model_fields.items():
        for variable in settings.variables(name, field):
            monkeypatch.delenv(variable, raising=False)


def named(name: str) -> settings.Row:
    return next(row for row in settings.rows(settings.load()) if row.name == name)


def test_a_setting_nobody_touched_is_at_its_default() -> None:
    assert ("8080", "default") == (named("VOICEBOT_PORT").value, named("VOICEBOT_PORT").source)


def test_the_environment_goes_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("VOICEBOT_PORT=9001\nVOICEBOT_MAX_CALLS=7\n")
    monkeypatch.setenv("VOICEBOT_PORT", "9002")
    assert ("9002", "environment VOICEBOT_PORT") == (named("VOICEBOT_PORT").value, named("VOICEBOT_PORT").source)
    assert ("7", ".env VOICEBOT_MAX_CALLS") == (named("VOICEBOT_MAX_CALLS").value, named("VOICEBOT_MAX_CALLS").source)


def test_a_second_name_counts_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "not-a-key")
    row = named("VOICEBOT_OPENAI_API_KEY")
    assert (settings.MASK, "environment OPENAI_API_KEY") == (row.value, row.source)


def test_every_variable_listed_is_one_that_the_service_obeys(monkeypatch: pytest.MonkeyPatch) -> None:
    other = {"PORT": "9000", "PUBLIC_URL": "https://bot.example", "RECORD": "false", "VAD": "webrtc"}
    other |= {"SIP_ALLOW": "10.0.0.0/8", "SIP_SRTP": "required"}
    other |= {"LOG_FORMAT": "json", "LOG_LEVEL": "debug"}
    defaults = Settings.model_construct()
    for name, field in Settings.model_fields.items():
        for variable in settings.variables(name, field):
            with monkeypatch.context() as patch:
                patch.setenv(variable, other.get(name.upper(), "3"))
                assert getattr(Settings(), name) != getattr(defaults, name), variable


def test_models_are_kept_with_the_rest_of_the_data_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEBOT_DATA_DIR", "/srv/voicebot")
    assert Path("/srv/voicebot/models") == Settings().models_dir
    monkeypatch.setenv("VOICEBOT_MODELS_DIR", "/srv/models")
    assert Path("/srv/models") == Settings().models_dir


@pytest.mark.parametrize("form", [[], ["--json"], ["--env"]])
def test_no_form_prints_a_secret(form: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("VOICEBOT_TWILIO_AUTH_TOKEN", "VOICEBOT_CONSOLE_TOKEN", "OPENAI_API_KEY", "VOICEBOT_SIP_ACCOUNTS"):
        monkeypatch.setenv(variable, "tell-nobody")
    result = CliRunner().invoke(app, form)
    assert 0 == result.exit_code
    assert "tell-nobody" not in result.output


def test_json_has_every_setting() -> None:
    found = json.loads(CliRunner().invoke(app, ["--json"]).stdout)
    assert len(Settings.model_fields) == len(found)
    assert {"name", "value", "source", "default", "description"} == set(found[0])


def test_the_template_is_a_dotenv_file_that_changes_nothing_even_uncommented() -> None:
    template = settings.template()
    Path(".env").write_text("\n".join(line.removeprefix("#") for line in template.splitlines() if "# " not in line))
    assert Settings(_env_file=None) == Settings()  # type: ignore[call-arg]
    assert all(row.source.startswith(".env") for row in settings.rows(settings.load()))


def test_a_variable_that_sets_nothing_is_told_with_the_name_that_was_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEBOT_PUBLICURL", "https://bot.example")
    assert ["VOICEBOT_PUBLICURL is no setting. Did you mean VOICEBOT_PUBLIC_URL?"] == settings.unknown()


def test_a_value_that_cannot_be_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEBOT_PORT", "eighty")
    with pytest.raises(UsageError, match=r"VOICEBOT_PORT: .*valid integer"):
        settings.load()

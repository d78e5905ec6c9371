"""`voicebot twilio`: numbers pointed here, against a double of Twilio's API and a service that runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.peers.twilio_rest import ACCOUNT, TOKEN, TwilioRest, twilio_rest
from tests.service.world import Service, serving
from voicebot.cli import app
from voicebot.errors import UsageError

NUMBER = "+15550002222"


@pytest.fixture
def rest(monkeypatch: pytest.MonkeyPatch) -> Iterator[TwilioRest]:
    with twilio_rest() as running:
        running.numbers = {
            NUMBER: {"voice_url": "https://demo.twilio.com/welcome", "voice_fallback_url": "", "status_callback": ""},
            "+15550003333": {"voice_url": "https://bot.example.com/twilio/voice"},
        }
        for name, value in (
            ("TWILIO_API_URL", running.url),
            ("TWILIO_ACCOUNT_SID", ACCOUNT),
            ("TWILIO_AUTH_TOKEN", TOKEN),
            ("PUBLIC_URL", "https://bot.example.com"),
        ):
            monkeypatch.setenv(f"VOICEBOT_{name}", value)
        yield running


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with serving(tmp_path, twilio_auth_token=TOKEN, public_url="") as running:
        port = running.base.rpartition(":")[2]
        running.settings.port = int(port)
        yield running


def run(*words: str) -> str:
    result = CliRunner().invoke(app, ["twilio", *words])
    if result.exception:
        raise result.exception
    return " ".join(result.output.split())


async def run_beside(*words: str) -> str:
    """While the service goes on."""
    return await asyncio.to_thread(run, *words)


async def test_a_number_is_pointed_here_once_the_service_answers_and_its_stream_upgrades(
    rest: TwilioRest, service: Service
) -> None:
    said = await run_beside("configure", NUMBER, "--url", service.base + "/")
    assert {
        "voice_url": f"{service.base}/twilio/voice",
        "voice_fallback_url": f"{service.base}/twilio/after",
        "status_callback": f"{service.base}/twilio/status",
    } == rest.numbers[NUMBER]
    assert "a signed media stream upgrades" in said
    assert TOKEN not in said


async def test_a_service_with_another_token_is_found_out_before_anything_changes(
    rest: TwilioRest, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dict(rest.numbers[NUMBER])
    monkeypatch.setenv("VOICEBOT_TWILIO_AUTH_TOKEN", "another")
    with pytest.raises(UsageError, match="does not upgrade"):
        await run_beside("configure", NUMBER, "--url", service.base)
    assert before == rest.numbers[NUMBER]


def test_a_url_that_nobody_answers_at_is_found_out_before_anything_changes(rest: TwilioRest) -> None:
    before = dict(rest.numbers[NUMBER])
    with pytest.raises(UsageError, match="healthz does not answer"):
        run("configure", NUMBER, "--url", "http://127.0.0.1:1")
    assert before == rest.numbers[NUMBER]


def test_the_check_can_be_left_out(rest: TwilioRest) -> None:
    run("configure", NUMBER, "--no-check")
    assert "https://bot.example.com/twilio/voice" == rest.numbers[NUMBER]["voice_url"]


@pytest.mark.parametrize("url", ["http://bot.example.com", "bot.example.com", "ftp://bot.example.com"])
def test_twilio_needs_an_https_url(rest: TwilioRest, url: str) -> None:
    with pytest.raises(UsageError, match="https"):
        run("configure", NUMBER, "--url", url)


def test_a_number_of_somebody_else_is_a_sentence(rest: TwilioRest) -> None:
    with pytest.raises(UsageError, match=r"no number \+15559999999"):
        run("configure", "+15559999999", "--no-check")


def test_the_status_shows_what_numbers_point_at_and_which_point_here(rest: TwilioRest) -> None:
    said = run("status")
    assert "https://demo.twilio.com/welcome" in said
    assert 1 == said.count("this service")


def test_the_status_of_one_number(rest: TwilioRest) -> None:
    assert "demo.twilio.com" not in run("status", "+15550003333")
    with pytest.raises(UsageError, match="no number"):
        run("status", "+15559999999")


@pytest.mark.parametrize("missing", ["VOICEBOT_TWILIO_ACCOUNT_SID", "VOICEBOT_TWILIO_AUTH_TOKEN"])
def test_without_an_account_it_says_what_to_set(
    rest: TwilioRest, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setenv(missing, "")
    with pytest.raises(UsageError, match=missing):
        run("status")


def test_a_wrong_token_is_a_sentence_that_does_not_show_it(rest: TwilioRest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEBOT_TWILIO_AUTH_TOKEN", "another")
    with pytest.raises(UsageError, match="Check the account SID and the auth token") as refused:
        run("status")
    assert "another" not in str(refused.value)


def test_an_api_that_is_not_there_is_a_sentence(rest: TwilioRest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEBOT_TWILIO_API_URL", "http://127.0.0.1:1")
    with pytest.raises(UsageError, match="could not be reached"):
        run("status")

"""The log: static events, nothing personal, and never a reason for a call to end."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator

import pytest
import structlog

from voicebot import log


@pytest.fixture
def configured() -> Iterator[None]:
    log.configure("json", "info")
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("configured")
def test_personal_data_is_masked(capsys: pytest.CaptureFixture[str]) -> None:
    log.get("desk").info("call_taken", call_id="c1", pii_caller="+12025550142")

    line = json.loads(capsys.readouterr().err)
    assert ("call_taken", "c1", "<12 characters>") == (line["event"], line["call_id"], line["pii_caller"])


@pytest.mark.usefixtures("configured")
def test_a_log_that_cannot_be_written_breaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = log.get("desk")
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)

    logger.error("disk_full")

    monkeypatch.setattr(sys, "stderr", readable := io.StringIO())
    logger.error("disk_full_again")
    assert "disk_full_again" in readable.getvalue()

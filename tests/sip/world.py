"""A service that takes SIP: the whole application, one worker process, a bot that knows tones only."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.peers.engines import Ears, Voice
from tests.peers.sip_caller import free_port
from tests.service.world import Service, serving
from voicebot.call import stack
from voicebot.carriers.sip_setup import Setup
from voicebot.core.timeline import Record, decode
from voicebot.engines.base import EngineConfig
from voicebot.service import sip as service_sip
from voicebot.service.sip import Sip

needs_pjsua2 = pytest.mark.skipif(
    importlib.util.find_spec("pjsua2") is None, reason="pjsua2-python is not installed on this machine"
)


def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accounts wait for a second where they wait for half a minute."""
    patient = service_sip.setup

    def setup(*given: Any, **named: Any) -> Setup:
        return replace(patient(*given, **named), retry_s=1, answer_s=0.5, back_s=0.5)

    monkeypatch.setattr(service_sip, "setup", setup)


@asynccontextmanager
async def sip_service(folder: Path, **given: Any) -> AsyncIterator[Service]:
    """It takes SIP at `settings.sip_port`."""
    known: dict[str, Any] = {"sip_workers": 1, "sip_port": free_port()}
    async with serving(folder, **(known | given)) as service:
        assert "" == sip_of(service).fault
        yield service


def sip_of(service: Service) -> Sip:
    sip: Sip = service.app.state.sip
    return sip


def records(folder: Path, dialplan: str) -> list[Record]:
    """The timeline of a dialplan's one call in a service's data; empty before its first line."""
    timelines = [list(decode(file.read_bytes().splitlines())) for file in folder.glob("calls/*/timeline.jsonl")]
    found = [each for each in timelines if each and each[0].fields["dialplan"] == dialplan]
    return found[0] if found else []


def simple_engine(stage: str, name: str, config: EngineConfig) -> Any:
    """Of a `Runtime`: ears and a voice that are ready at once; the rest as it is."""
    return {"asr": Ears, "tts": Voice}.get(stage, partial(stack.make, stage, name, config))()

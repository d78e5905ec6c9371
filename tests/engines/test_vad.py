"""Both detectors on real voices and real noise, through the telephone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from voicebot.carriers.wavline import read
from voicebot.engines import vad_silero, vad_webrtc
from voicebot.engines.base import EngineConfig, VoiceStarted, VoiceStopped

COFFEE = sorted((Path(__file__).parent.parent / "data" / "coffee").glob("*.flac"))


@pytest.fixture(params=["webrtc", "silero"])
async def vad(request: pytest.FixtureRequest) -> Any:
    module = {"webrtc": vad_webrtc, "silero": vad_silero}[request.param]
    if (lack := module.check()) is not None:
        pytest.skip(lack)
    found = module.create(EngineConfig())
    await found.start()
    return found


def listen(vad: Any, pcm: bytes) -> list[tuple[Any, int]]:
    """(event, ms at which it was decided)."""
    session, found = vad.open(), []
    for at in range(0, len(pcm) // 2 - 159, 160):
        found += [(event, (at + 160) // 8) for event in session.push(pcm[at * 2 : at * 2 + 320], at)]
    return found


async def test_an_order_is_one_voice_or_a_few_and_each_ends(vad: Any) -> None:
    for file in COFFEE:
        found = [event for event, _ in listen(vad, read(file) + bytes(8000))]

        assert 2 <= len(found) <= 8
        assert [VoiceStarted, VoiceStopped] * (len(found) // 2) == [type(event) for event in found]


async def test_the_beginning_is_decided_within_a_few_frames_and_dated_back(vad: Any) -> None:
    pcm = bytes(16000) + read(COFFEE[0])
    started, decided_ms = listen(vad, pcm)[0]

    assert 0 <= decided_ms - started.at // 8 <= 160


async def test_white_noise_and_silence_are_nobody(vad: Any) -> None:
    hiss = np.random.default_rng(1).normal(0, 300, 8000 * 5).astype("<i2").tobytes()

    assert [] == listen(vad, bytes(8000 * 2 * 5))
    assert len(listen(vad, hiss)) <= 2


async def test_calls_do_not_hear_each_other(vad: Any) -> None:
    alone = listen(vad, read(COFFEE[0]))
    one, other, found = vad.open(), vad.open(), []
    pcm, noise = read(COFFEE[0]), read(COFFEE[-1])
    for at in range(0, len(pcm) // 2 - 159, 160):
        other.push(noise[at * 2 : at * 2 + 320].ljust(320, b"\0"), at)
        found += [(event, (at + 160) // 8) for event in one.push(pcm[at * 2 : at * 2 + 320], at)]

    assert alone == found


def test_without_the_package_webrtc_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vad_silero, "model_file", lambda: None)

    assert "pip install --no-deps silero-vad" in (vad_silero.check() or "")
    assert isinstance(vad_silero.create(EngineConfig()), vad_webrtc.WebrtcVad)

"""The engine for an operator's end-of-turn model, on tiny models of the same signature."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.peers import onnx_model
from voicebot.engines import registry
from voicebot.engines.base import EngineConfig
from voicebot.errors import UsageError

PCM = bytes(np.random.default_rng(1).normal(0, 3000, 8000).astype("<i2"))


@pytest.fixture
def engine() -> Callable[..., Any]:
    def made(path: Path, **options: object) -> Any:
        config = EngineConfig(options={"model": str(path), "deadline_ms": 20_000, **options})
        return registry.load("eot", "onnx").create(config)

    return made


async def test_a_model_answers_with_its_probability(tmp_path: Path, engine: Callable[..., Any]) -> None:
    eot = engine(onnx_model.write(tmp_path / "m.onnx"))
    await eot.start()
    short, noise = await eot.judge(PCM[:320]), await eot.judge(PCM * 12)
    await eot.close()
    assert 0.0 < short < noise < 1.0  # a window that is mostly silence has a lower mean
    assert 0 == eot.failed


async def test_odd_bytes_and_no_sound_at_all_are_judged_too(tmp_path: Path, engine: Callable[..., Any]) -> None:
    eot = engine(onnx_model.write(tmp_path / "m.onnx"))
    await eot.start()
    assert 0.0 < await eot.judge(PCM[:321]) < 1.0
    assert 0.0 < await eot.judge(b"") < 1.0
    await eot.close()


async def test_who_is_late_has_no_vote(tmp_path: Path, engine: Callable[..., Any]) -> None:
    eot = engine(onnx_model.write(tmp_path / "m.onnx"), deadline_ms=0)
    await eot.start()
    assert await eot.judge(PCM) is None
    assert 1 == eot.failed
    await eot.close()


async def test_what_waits_is_bounded_and_the_rest_is_told_at_once(tmp_path: Path, engine: Callable[..., Any]) -> None:
    eot = engine(onnx_model.write(tmp_path / "m.onnx"))
    await eot.start()
    answers = await asyncio.gather(*(eot.judge(PCM) for _ in range(20)))
    assert 8 == sum(answer is not None for answer in answers)
    assert await eot.judge(PCM) is not None
    await eot.close()
    assert await eot.judge(PCM) is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"bands": 40}, r"must take input_features \[1, 80, 800\]"),
        ({"name": "mel"}, "must take input_features"),
        ({"sigmoid": False}, "does not answer with a probability"),
    ],
)
async def test_a_model_of_another_kind_is_refused_when_the_service_starts(
    tmp_path: Path, engine: Callable[..., Any], wrong: dict[str, Any], said: str
) -> None:
    eot = engine(onnx_model.write(tmp_path / "m.onnx", **wrong))
    with pytest.raises(UsageError, match=said):
        await eot.start()
    await eot.close()


async def test_a_file_that_is_no_model_is_refused_in_one_sentence(tmp_path: Path, engine: Callable[..., Any]) -> None:
    (tmp_path / "m.onnx").write_text("no model")
    with pytest.raises(UsageError, match="cannot be read as an ONNX model"):
        await engine(tmp_path / "m.onnx").start()


def test_without_a_model_it_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VOICEBOT_EOT_MODEL", raising=False)
    assert "VOICEBOT_EOT_MODEL" in str(registry.check("eot", "onnx"))
    with pytest.raises(UsageError, match="VOICEBOT_EOT_MODEL"):
        registry.load("eot", "onnx").create(EngineConfig())
    monkeypatch.setenv("VOICEBOT_EOT_MODEL", str(tmp_path / "none.onnx"))
    assert "names no file" in str(registry.check("eot", "onnx"))
    monkeypatch.setenv("VOICEBOT_EOT_MODEL", str(onnx_model.write(tmp_path / "m.onnx")))
    assert registry.check("eot", "onnx") is None
    assert ["onnx"] == registry.names("eot")


def test_an_unknown_option_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="deadline_ms, model"):
        registry.load("eot", "onnx").create(EngineConfig(options={"modle": "x"}))

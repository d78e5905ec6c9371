"""A tiny Translatotron 2 from nothing: eight minutes of one CPU at most, then sentences and a voice it never heard."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install 'voicebot[translatotron]'")
pytest.importorskip("safetensors", reason="needs safetensors: pip install 'voicebot[translatotron]'")

from voicebot.engines.s2s_translatotron import checkpoint, pairs, presets, schedule  # noqa: E402
from voicebot.engines.s2s_translatotron.batches import Batches  # noqa: E402
from voicebot.engines.s2s_translatotron.training import Training  # noqa: E402
from voicebot.engines.s2s_translatotron.validation import validate  # noqa: E402
from voicebot.replay import translating  # noqa: E402

CPU_MINUTES = 8
PLAN = """
name: interpreter
language: es-ES
mode: interpret
interpret: {{to: en-US, by: translatotron, pause_ms: 240}}
engines: {{asr: none, options: {{translatotron: {{model: {model}}}}}}}
"""
RATES = (8000, 8000)


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_nine_of_ten_unseen_sentences_in_an_unseen_voice_are_right_to_the_phoneme(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    plan = replace(schedule.plan("translatotron2", "tiny"), minutes=CPU_MINUTES)
    learning, unseen = pairs.made("es-en", plan.pairs, RATES), pairs.unseen("es-en", 64, RATES)
    source, target = pairs.symbols(learning)
    config = replace(presets.preset("translatotron2", "tiny"), target_phonemes=target)
    about = checkpoint.About("es", "en", "espeak-ng", words=pairs.words(learning, "en"))
    # The process's own time: on a machine that is busy with other things the wall's says nothing.
    training = Training(checkpoint.build(config), plan, tmp_path, about, clock=time.process_time)
    training.run(*(Batches(each, config, source, False) for each in (learning, unseen)), 30.0, lambda progress: None)
    model, _ = checkpoint.load(tmp_path)
    score = validate(model, Batches(unseen, config, source, False))
    assert score.exact >= 0.9
    assert 0.9 < score.length < 1.1
    assert score.nearest >= 0.9
    # … and then it interprets a live call, over the telephone's 8 kHz μ-law.
    heard = asyncio.run(translating.interpreted(PLAN.format(model=tmp_path), unseen[:8]))
    assert all(each.heard_ms > each.ended_ms and len(each.heard) > 4000 for each in heard)
    assert sum(each.said == each.pair.target_text for each in heard) >= 7

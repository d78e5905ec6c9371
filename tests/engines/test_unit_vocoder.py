"""The unit vocoder on a checkpoint with random weights; with torch only."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from tests.engines import tiny_vocoder  # noqa: E402
from tests.engines.duplex_caller import calling, is_a  # noqa: E402
from tests.peers.llama_omni import LlamaOmniServer, Says  # noqa: E402
from voicebot.core.duplex import Context, How, ReplyEnded  # noqa: E402
from voicebot.engines import s2s_llama_omni  # noqa: E402
from voicebot.engines.base import EngineConfig  # noqa: E402
from voicebot.engines.unit_speech import LocalVocoder  # noqa: E402
from voicebot.engines.unit_vocoder import UnitVocoder, folded, layers  # noqa: E402
from voicebot.errors import PeerError  # noqa: E402

UNITS = [(7 * i) % 1000 for i in range(60)]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_vocoder.make(tmp_path_factory.mktemp("vocoder"))


def test_weight_norm_is_undone_as_torch_does_it() -> None:
    torch.manual_seed(2)
    for layer in (torch.nn.Conv1d(3, 5, 7), torch.nn.ConvTranspose1d(6, 3, 4, 2)):
        normed = torch.nn.utils.weight_norm(layer)
        normed.weight_g.data *= torch.rand_like(normed.weight_g)
        x = torch.randn(1, layer.in_channels, 20)
        wanted = normed(x)
        state = folded(normed.state_dict())
        assert {"weight", "bias"} == set(state)
        plain = type(layer)(layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride)
        plain.load_state_dict(state)
        assert torch.allclose(wanted, plain(x), atol=1e-6)


def test_a_unit_lasts_whole_steps_of_20_ms(checkpoint: Path) -> None:
    vocoder = UnitVocoder(checkpoint)
    samples = vocoder.speak(UNITS)
    assert 320 == vocoder.samples_unit
    assert 0 == len(samples) % 320
    assert len(UNITS) * 320 <= len(samples) <= 4 * len(UNITS) * 320
    assert np.float32 == samples.dtype
    assert 0 < np.abs(samples).max() <= 1


def test_a_stretch_goes_on_from_the_one_before_it(checkpoint: Path) -> None:
    vocoder = UnitVocoder(checkpoint)
    whole = vocoder.speak(UNITS)
    second = vocoder.speak(UNITS[20:], before=10)
    assert np.allclose(whole[-len(second) :], second, atol=1e-3)


def test_the_same_units_are_the_same_samples(checkpoint: Path) -> None:
    vocoder = UnitVocoder(checkpoint)
    assert np.array_equal(vocoder.speak(UNITS), vocoder.speak(UNITS))


def test_without_a_duration_predictor_each_unit_lasts_one_step(tmp_path: Path) -> None:
    config = {name: value for name, value in tiny_vocoder.CONFIG.items() if name != "dur_predictor_params"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    torch.save({"generator": layers(config).state_dict()}, tmp_path / "g_1")
    assert 320 * 60 == len(UnitVocoder(tmp_path).speak(UNITS))


def test_units_and_checkpoints_that_there_are_not_are_told(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="among the 1000"):
        UnitVocoder(checkpoint).speak([1000])
    with pytest.raises(ValueError, match="no vocoder"):
        UnitVocoder(tmp_path)


async def test_in_its_program_it_speaks_and_comes_back_when_it_was_killed(checkpoint: Path) -> None:
    vocoder = LocalVocoder(str(checkpoint), "cpu")
    await vocoder.start()
    try:
        wanted = UnitVocoder(checkpoint).speak(UNITS)
        reply = vocoder.reply()
        pcm = b"".join([pcm async for pcm in reply.speak(UNITS, True)])
        assert len(wanted) == len(pcm) // 2
        assert np.allclose(wanted, np.frombuffer(pcm, "<i2") / 32767, atol=1e-3)
        (await vocoder.program()).kill()
        pcm = b"".join([pcm async for pcm in vocoder.reply().speak(UNITS, True)])
        assert len(wanted) == len(pcm) // 2
    finally:
        await vocoder.close()


async def test_a_checkpoint_that_cannot_be_loaded_is_told_when_the_service_starts(tmp_path: Path) -> None:
    vocoder = LocalVocoder(str(tmp_path), "cpu")
    with pytest.raises(PeerError, match="no vocoder"):
        await vocoder.start()
    await vocoder.close()


async def test_a_reply_is_made_audible_by_it(checkpoint: Path) -> None:
    async with LlamaOmniServer([Says("It is open until nine.", 120)]) as server:
        options = {"licence": "research", "controller": server.url, "vocoder": str(checkpoint)}
        engine = s2s_llama_omni.create(EngineConfig(options=options))
        await engine.start()
        async with calling(engine, Context(""), pace=4.0) as caller:
            await caller.say(300)
            caller.session.began()
            caller.session.respond()
            await caller.until(is_a(ReplyEnded, how=How.DONE))
            assert 120 * 20 <= caller.audio_ms() <= 120 * 80
        await engine.close()

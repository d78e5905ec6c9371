"""Both Translatotrons as models: shapes, sizes, losses, one training step of every published preset, files, the
process. What random weights say is noise; that they can be trained, saved, loaded and asked on a call is not."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install 'voicebot[translatotron]'")
pytest.importorskip("safetensors", reason="needs safetensors: pip install 'voicebot[translatotron]'")

from voicebot.core.duplex import Context, DuplexEvent, How, ReplyAudio, ReplyBegan, ReplyEnded, ReplyText  # noqa: E402
from voicebot.engines import s2s_translatotron  # noqa: E402
from voicebot.engines.base import EngineConfig  # noqa: E402
from voicebot.engines.s2s_translatotron import (  # noqa: E402
    checkpoint,
    hifigan,
    layers,
    pairs,
    presets,
    schedule,
    spectrum,
    t1,
    voice_encoder,
)
from voicebot.engines.s2s_translatotron.batch import Batch  # noqa: E402
from voicebot.engines.s2s_translatotron.batches import Batches  # noqa: E402
from voicebot.engines.s2s_translatotron.conformer import _shifted, spec_augment  # noqa: E402
from voicebot.engines.s2s_translatotron.presets import END, SPECIAL, T1, Config, Sound, preset  # noqa: E402
from voicebot.engines.s2s_translatotron.training import Progress, Training  # noqa: E402
from voicebot.engines.s2s_translatotron.translator import Translator  # noqa: E402
from voicebot.errors import UsageError  # noqa: E402

PHONEMES = tuple(f"p{number}" for number in range(40))
SYMBOLS = SPECIAL + len(PHONEMES)
LARGE = ("translatotron", "conversational")
PUBLISHED = [
    pytest.param(key, marks=[pytest.mark.slow, pytest.mark.timeout(300)] if key == LARGE else [])
    for key in sorted(presets.PRESETS)
    if key[1] != "tiny"
]
ABOUT = checkpoint.About("es", "en", "nothing")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def configured(architecture: str, name: str, **other: Any) -> Config:
    config = replace(preset(architecture, name), target_phonemes=PHONEMES, **other)
    return replace(config, source_phonemes=PHONEMES) if isinstance(config, T1) else config


def some(config: Config, size: int = 2, frames: int = 48) -> Batch:
    """Noise of the right shapes; the second utterance is shorter."""
    lengths = torch.tensor([frames - 8 * n for n in range(size)])
    symbols = torch.randint(SPECIAL, SYMBOLS, (size, 6))
    symbols[:, 5] = END
    symbols[1:, 4], symbols[1:, 5] = END, 0
    return Batch(
        torch.randn(size, frames, config.source.width), lengths, torch.randn(size, 24, config.target.width),
        torch.tensor([24 - 6 * n for n in range(size)]), symbols, symbols,
    )  # fmt: skip


# --- sizes, against the tables


def lstm(width: int, units: int, layers: int = 1) -> int:
    return sum(4 * units * ((width if n == 0 else units) + units + 2) for n in range(layers))


def blstm(width: int, units: int, layers: int) -> int:
    return sum(2 * lstm(width if n == 0 else 2 * units, units) for n in range(layers))


def linear(width: int, units: int) -> int:
    return width * units + units


def size(model: Any) -> int:
    return sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize(
    ("name", "encoder", "decoder", "aux", "total"),
    [("conversational", 1024, 6, 2, 274.0), ("fisher", 256, 4, 3, 62.9)],
)
def test_translatotron_is_as_large_as_its_table_makes_it(
    name: str, encoder: int, decoder: int, aux: int, total: float
) -> None:
    config = configured("translatotron", name)
    with torch.device("meta"):
        model = checkpoint.build(config)
    both = 2 * encoder
    assert blstm(3 * 80, encoder, 8) == size(model.encoder)
    assert lstm(32 + both, 1024) + lstm(1024 + both, 1024, decoder - 1) == size(model.attending) + size(model.decoder)
    assert linear(1024 + both, 2 * 1025) == size(model.frames)
    assert lstm(96 + both, 256, aux) == size(model.target_decoder.decoder)
    assert total == round(size(model) / 1e6, 1)


@pytest.mark.parametrize(
    ("name", "attention", "layers", "units", "embedded", "duration", "total"),
    [
        ("fisher", 256, 4, 256, 96, 64, 31.5),
        ("covost2", 512, 6, 512, 256, 128, 47.4),
        ("conversational", 512, 4, 512, 256, 128, 43.2),
    ],
)
def test_translatotron_2_is_as_large_as_its_table_makes_it(
    name: str, attention: int, layers: int, units: int, embedded: int, duration: int, total: float
) -> None:
    with torch.device("meta"):
        model = checkpoint.build(configured("translatotron2", name))
    width = units + attention
    assert lstm(embedded + attention, units, layers) == size(model.decoder)
    assert linear(units, attention) + 2 * linear(144, attention) + linear(attention, attention) == size(model.attention)
    assert blstm(width, duration, 2) == size(model.synthesizer.durations)
    assert lstm(width + 128, 1024, 2) == size(model.synthesizer.decoder)
    assert 16 == len(model.encoder.blocks)
    assert total == round(size(model) / 1e6, 1)


# --- one step of each


@pytest.mark.parametrize("key", PUBLISHED, ids="-".join)
def test_every_published_preset_takes_a_training_step(key: tuple[str, str]) -> None:
    model = checkpoint.build(configured(*key))
    batch = some(model.config)
    optimizer = torch.optim.Adafactor(model.parameters(), lr=schedule.plan(*key).rate)
    before = model(batch)
    before.total.backward()
    assert all(weight.grad is not None and torch.isfinite(weight.grad).all() for weight in model.parameters())
    optimizer.step()
    assert torch.isfinite(model(batch).total)
    parts = set(before.parts())
    assert ({"stop", "source_phonemes"} if key[0] == "translatotron" else {"duration"}) <= parts


@pytest.mark.parametrize("architecture", ["translatotron", "translatotron2"])
def test_a_tiny_model_learns_one_pair_by_heart(architecture: str) -> None:
    model = checkpoint.build(configured(architecture, "tiny", dropout=0.0))
    batch = some(model.config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        loss = model(batch)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        losses.append(float(loss.target_phonemes.detach()))
    assert losses[-1] < losses[0] * 0.6


# --- losses, as published


def test_translatotron_2_adds_up_spectrogram_phonemes_and_duration_with_the_papers_weights() -> None:
    model = checkpoint.build(configured("translatotron2", "fisher")).eval()
    loss = model(some(model.config))
    parts = loss.spectrogram + 10 * loss.target_phonemes + loss.duration
    assert float(parts.detach()) == pytest.approx(float(loss.total.detach()))


def test_only_the_sum_of_the_durations_is_compared_where_nobody_knows_them() -> None:
    model = checkpoint.build(configured("translatotron2", "tiny")).eval()
    batch = some(model.config)
    memory, mask = model.encoder(batch.source, batch.source_lengths)
    states, _ = model._decode(memory, mask, batch.target_symbols)
    counts = (batch.target_symbols != 0).sum(1) - 1
    totals = model.synthesizer._durations(states, counts).sum(1)
    wanted = ((totals - batch.target_lengths) * 0.0125).square().mean()
    assert float(wanted.detach()) == pytest.approx(float(model(batch).duration.detach()), rel=1e-5)
    known = torch.zeros(2, 6)
    known[:, :4] = batch.target_lengths[:, None] / 4
    supervised = model(replace(batch, durations=known)).duration
    assert float(supervised.detach()) != pytest.approx(float(wanted.detach()), rel=0.01)


def test_translatotrons_phoneme_decoders_count_as_much_as_the_lesson_says() -> None:
    model = checkpoint.build(configured("translatotron", "tiny")).eval()
    batch = some(model.config)
    losses = []
    for weight in (1.0, 0.0):
        model.lesson.aux_weight = weight
        losses.append(model(batch))
    aux = losses[0].target_phonemes + losses[0].source_phonemes
    difference = losses[0].total - losses[1].total
    assert float(difference.detach()) == pytest.approx(float(aux.detach()), rel=1e-4)


def test_the_spectrograms_loss_sees_nothing_of_the_padding() -> None:
    target, mask = torch.zeros(1, 8, 4), layers.content(torch.tensor([5]), 8)
    made = torch.zeros(1, 8, 4)
    made[:, 5:] = 100.0
    assert 0.0 == float(layers.spectrogram_loss((made, made), target, mask))
    made[:, :5] = 1.0
    assert 4.0 == float(layers.spectrogram_loss((made, made), target, mask))  # L1 and L2, twice


# --- shapes and parts


@pytest.mark.parametrize("architecture", ["translatotron", "translatotron2"])
def test_a_translation_has_the_shapes_that_it_says(architecture: str) -> None:
    model = checkpoint.build(configured(architecture, "tiny")).eval()
    batch = some(model.config, frames=60)
    made = model.translate(batch.source, batch.source_lengths)
    assert (2, 64) == (made.frames.size(0), made.frames.size(2))
    assert made.frames.size(1) >= int(made.lengths.max())
    assert 2 == len(made.symbols)
    assert model.config.attention_heads == made.weights.size(-1)
    ones = made.weights.sum(2)
    assert torch.allclose(ones, torch.ones_like(ones), atol=1e-4)


@pytest.mark.parametrize("architecture", ["translatotron", "translatotron2"])
def test_padding_changes_no_translation(architecture: str) -> None:
    model = checkpoint.build(configured(architecture, "tiny")).eval()
    short = torch.randn(1, 36, 64)
    batch = torch.cat([torch.cat([short, torch.zeros(1, 24, 64)], dim=1), torch.randn(1, 60, 64)])
    alone = model.translate(short, torch.tensor([36]))
    beside = model.translate(batch, torch.tensor([36, 60]))
    assert alone.symbols[0] == beside.symbols[0]
    count = 3
    assert torch.allclose(alone.frames[0, :count], beside.frames[0, :count], atol=1e-3)


def test_relative_positions_are_those_of_the_distance() -> None:
    size = 5
    by_distance = torch.arange(size - 1, -size, -1, dtype=torch.float32).expand(1, 1, size, -1)
    places = torch.arange(size, dtype=torch.float32)
    assert torch.equal(places[:, None] - places[None], _shifted(by_distance, size)[0, 0])


def test_zoneout_keeps_a_state_now_and_then_in_training_and_its_expectation_after() -> None:
    stack = layers.Lstm(3, 64, 1, zoneout=0.5)
    x, old = torch.randn(1, 3), [(torch.ones(1, 64), torch.ones(1, 64))]
    kept = stack.step(x, old)[0]
    assert 10 < int((kept == 1.0).sum()) < 54
    stack.eval()
    plain = layers.Lstm(3, 64, 1)
    plain.load_state_dict(stack.state_dict())
    assert torch.allclose((1.0 + plain.step(x, old)[0]) / 2, stack.step(x, old)[0])


def test_the_two_ways_to_run_a_stack_agree() -> None:
    stack = layers.Lstm(3, 8, 2).eval()
    x = torch.randn(2, 6, 3)
    cells, steps = stack.begin(x[:, 0]), []
    for at in range(6):
        out, cells = stack.step(x[:, at], cells)
        steps.append(out)
    assert torch.allclose(torch.stack(steps, dim=1), stack(x), atol=1e-6)


def test_guided_attention_punishes_what_is_far_from_the_diagonal() -> None:
    straight = torch.eye(10)[None, :, :, None]
    crossed = straight.flip(2)
    steps = sizes = torch.tensor([10])
    assert float(t1.guided(straight, steps, sizes)) < 0.01 < float(t1.guided(crossed, steps, sizes))


def test_spec_augment_blanks_one_band_and_one_stretch() -> None:
    frames = torch.arange(40.0 * 16).view(1, 40, 16)
    changed = spec_augment(frames, torch.tensor([40]), bands=8, places=10) != frames
    assert torch.any(changed)
    assert int(changed.all(dim=1).sum()) <= 8
    assert frames is spec_augment(frames, torch.tensor([40]), 0, 0)


@pytest.mark.parametrize("sound", [preset("translatotron2", "tiny").target, Sound(16000, 0), Sound(8000, 80, fft=512)])
def test_speech_comes_back_from_its_spectrogram(sound: Sound) -> None:
    times = np.arange(sound.rate) / sound.rate
    tone = (0.3 * np.sin(2 * np.pi * 440 * times)).astype(np.float32)
    both = spectrum.Spectrum(sound.at(sound.rate))
    frames = both.analyse(torch.from_numpy(tone))
    assert (1 + len(tone) // sound.hop, sound.at(sound.rate).width) == tuple(frames.shape)
    again = both.analyse(both.speak(frames))
    assert float((again - frames[: len(again)]).abs().mean()) < 0.25


# --- files


def test_a_model_comes_back_from_disk_as_it_was(tmp_path: Path) -> None:
    for architecture in ("translatotron", "translatotron2"):
        model = checkpoint.build(configured(architecture, "tiny")).eval()
        checkpoint.save(tmp_path / architecture, model, replace(ABOUT, words={"red": ["ɹ", "ɛ", "d"]}))
        again, about = checkpoint.load(tmp_path / architecture)
        batch = some(model.config)
        made, remade = (each.translate(batch.source, batch.source_lengths).frames for each in (model, again))
        assert torch.equal(made, remade)
        assert ("es", "en", ["ɹ", "ɛ", "d"]) == (about.source, about.target, list(about.words["red"]))


def test_a_checkpoint_with_the_wrong_shapes_is_refused_in_one_sentence(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, checkpoint.build(configured("translatotron2", "tiny")), ABOUT)
    told = json.loads((tmp_path / "model.json").read_text())
    told["model"]["decoder_units"] = 64
    (tmp_path / "model.json").write_text(json.dumps(told))
    with pytest.raises(UsageError, match=r"does not fit its model.json: .* is \(.*\) where \(.*\) is wanted\.$"):
        checkpoint.load(tmp_path)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "model.json").unlink(), "holds no Translatotron"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"no"), "model.safetensors cannot be read"),
        (lambda folder: (folder / "model.json").write_text('{"format": 9, "model": {}}'), "of format 9; this version"),
    ],
)
def test_files_that_are_no_model_are_refused_in_one_sentence(tmp_path: Path, spoil: Any, said: str) -> None:
    checkpoint.save(tmp_path, checkpoint.build(configured("translatotron2", "tiny")), ABOUT)
    spoil(tmp_path)
    with pytest.raises(UsageError, match=said):
        checkpoint.load(tmp_path)


VOCODER = {
    "sampling_rate": 8000, "num_mels": 64, "hop_size": 100, "win_size": 400, "upsample_rates": [10, 10],
    "upsample_kernel_sizes": [20, 20], "upsample_initial_channel": 16, "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1, 3]],
}  # fmt: skip


def vocoder(folder: Path, **other: Any) -> Path:
    """As HiFi-GAN's own code saves one: weight norm and all."""
    folder.mkdir()
    settings = VOCODER | other
    (folder / "vocoder.json").write_text(json.dumps(settings))
    weights = {}
    for name, tensor in hifigan.Generator(settings).state_dict().items():
        if name.endswith("weight"):
            weights |= {f"{name}_v": tensor, f"{name}_g": tensor.flatten(1).norm(dim=1).view(-1, 1, 1)}
        else:
            weights[name] = tensor
    torch.save({"generator": weights}, folder / "g_00000001.pth")
    return folder


def test_a_hifigan_checkpoint_speaks_instead_of_griffin_and_lim(tmp_path: Path) -> None:
    sound = preset("translatotron2", "tiny").target
    generator = hifigan.load(vocoder(tmp_path / "v"), sound)
    assert (1200,) == tuple(generator(torch.randn(12, 64)).shape)
    checkpoint.save(tmp_path / "m", checkpoint.build(configured("translatotron2", "tiny")), ABOUT)
    made = Translator(tmp_path / "m", vocoder=tmp_path / "v").translate(np.zeros(8000, np.float32))
    assert 0 == len(made.samples) % 100


def test_a_vocoder_for_other_spectrograms_is_refused_in_one_sentence(tmp_path: Path) -> None:
    sound = preset("translatotron2", "tiny").target
    with pytest.raises(UsageError, match="another kind: rate, bands, hop and window"):
        hifigan.load(vocoder(tmp_path / "v", num_mels=80), sound)
    with pytest.raises(UsageError, match="holds no HiFi-GAN vocoder"):
        hifigan.load(tmp_path, sound)


def test_a_translatotron_with_a_speaker_encoder_hears_who_speaks(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file(voice_encoder.VoiceEncoder().state_dict(), tmp_path / "voice.safetensors")
    checkpoint.save(tmp_path, checkpoint.build(configured("translatotron", "tiny", voice_dims=16)), ABOUT)
    translator = Translator(tmp_path, voice=tmp_path / "voice.safetensors")
    chance = np.random.default_rng(0)
    embedded = translator._embedded(chance.standard_normal(8000).astype(np.float32))
    assert embedded is not None
    assert (1, 256) == tuple(embedded.shape)
    assert 1.0 == pytest.approx(float(embedded.norm()), rel=1e-4)
    translator.translate(chance.standard_normal(8000).astype(np.float32))
    with pytest.raises(UsageError, match="holds no speaker encoder"):
        voice_encoder.load(tmp_path / "model.safetensors")


# --- training


def lessons(architecture: str, supervised: bool = False) -> tuple[Config, Batches, Batches]:
    learning, unseen = pairs.made("es-en", 24, (8000, 8000)), pairs.unseen("es-en", 4, (8000, 8000))
    source, target = pairs.symbols(learning)
    config = replace(preset(architecture, "tiny"), target_phonemes=target)
    config = replace(config, source_phonemes=source) if isinstance(config, T1) else config
    return config, Batches(learning, config, source, supervised), Batches(unseen, config, source, supervised)


def trained(folder: Path, steps: int, architecture: str = "translatotron2") -> tuple[Training, str, list[Progress]]:
    config, learning, unseen = lessons(architecture)
    plan = replace(schedule.plan(architecture, "tiny"), minutes=60, steps=steps, batch=4)
    training = Training(checkpoint.build(config), plan, folder, ABOUT)
    training.resume()
    told: list[Progress] = []
    return training, training.run(learning, unseen, 1e9, told.append), told


@pytest.mark.parametrize("architecture", ["translatotron", "translatotron2"])
def test_a_training_that_was_left_goes_on_where_it_was(tmp_path: Path, architecture: str) -> None:
    first, why, told = trained(tmp_path, 3, architecture)
    assert ("the time is over", 3, 1) == (why, first.step, len(told))
    second, _, _ = trained(tmp_path, 5, architecture)
    assert 5 == second.step
    lines = [json.loads(line) for line in (tmp_path / "training.jsonl").read_text().splitlines()]
    assert [3, 5] == [line["step"] for line in lines]
    assert (tmp_path / "attention.png").read_bytes().startswith(b"\x89PNG")
    model, about = checkpoint.load(tmp_path)
    assert "steps of 4" in about.trained_on
    assert architecture == model.config.architecture


@pytest.mark.parametrize("architecture", ["translatotron", "translatotron2"])
def test_wide_band_speech_is_learnt_and_translated_too(tmp_path: Path, architecture: str) -> None:
    learning = pairs.made("es-en", 6, (16000, 16000))
    source, target = pairs.symbols(learning)
    config = replace(preset(architecture, "tiny", 16000), target_phonemes=target)
    config = replace(config, source_phonemes=source) if isinstance(config, T1) else config
    model = checkpoint.build(config)
    loss = model(Batches(learning, config, source, supervised=False).draw(2, random.Random(0)))
    loss.total.backward()
    assert torch.isfinite(loss.total)
    checkpoint.save(tmp_path, model, ABOUT)
    assert 16000 == Translator(tmp_path).translate(learning[0].source).rate
    assert 16000 == s2s_translatotron.rate_of(tmp_path)


def test_a_training_of_another_model_is_not_gone_on_with(tmp_path: Path) -> None:
    trained(tmp_path, 1)
    with pytest.raises(UsageError, match="is of another model; choose another folder"):
        trained(tmp_path, 2, "translatotron")


def test_weight_noise_leaves_the_weights_as_they_were(tmp_path: Path) -> None:
    config, _, _ = lessons("translatotron")
    plan = replace(schedule.plan("translatotron", "tiny"), weight_noise=0.05)
    training = Training(checkpoint.build(config), plan, tmp_path, ABOUT)
    before = [weight.clone() for weight in training.model.parameters()]
    with training._noise():
        assert not all(torch.equal(a, b) for a, b in zip(before, training.model.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(before, training.model.parameters(), strict=True))


def test_known_durations_add_up_to_the_spectrogram() -> None:
    _, learning, _ = lessons("translatotron2", supervised=True)
    batch = learning.draw(4, random.Random(0))
    assert batch.durations is not None
    assert batch.target_lengths.tolist() == [round(float(row.sum())) for row in batch.durations]
    assert bool(((batch.durations > 0).sum(1) == (batch.target_symbols != 0).sum(1) - 1).all())


def test_validation_hears_the_same_noise_every_time() -> None:
    _, _, unseen = lessons("translatotron2")
    one, other = (unseen.batch(range(4), np.random.default_rng(0)).source for _ in range(2))
    assert torch.equal(one, other)


# --- in a process of its own, on a call


def model_of(folder: Path) -> Path:
    checkpoint.save(folder, checkpoint.build(configured("translatotron2", "tiny")), ABOUT)
    return folder


async def test_an_utterance_is_translated_when_the_turn_is_over(tmp_path: Path) -> None:
    engine = s2s_translatotron.create(EngineConfig(options={"model": str(model_of(tmp_path)), "rounds": 5}))
    await engine.start()
    told: list[DuplexEvent] = []
    ended = asyncio.Event()

    def tell(event: DuplexEvent) -> None:
        told.append(event)
        if isinstance(event, ReplyEnded):
            ended.set()

    try:
        session = await engine.open(Context(""))
        async with asyncio.TaskGroup() as group:
            group.create_task(session.run(tell))
            await asyncio.sleep(0)
            session.began()
            loud = (np.random.default_rng(0).standard_normal(160) * 3000).astype("<i2").tobytes()
            for frame in [loud] * 40 + [bytes(320)] * 10:
                session.push(frame)
            session.respond()
            async with asyncio.timeout(20):
                await ended.wait()
            await session.close()
    finally:
        await engine.close()
    replies = told[:-1]
    assert [ReplyBegan, ReplyText, ReplyAudio, ReplyEnded] == [type(event) for event in replies]
    assert {"translation-1"} == {event.reply for event in replies if not isinstance(event, type(told[-1]))}
    assert How.DONE == replies[-1].how


async def test_a_reply_that_was_cut_says_no_more(tmp_path: Path) -> None:
    engine = s2s_translatotron.create(EngineConfig(options={"model": str(model_of(tmp_path)), "rounds": 5}))
    await engine.start()
    told: list[DuplexEvent] = []
    try:
        session = await engine.open(Context(""))
        running = asyncio.ensure_future(session.run(told.append))
        await asyncio.sleep(0)
        session.push(bytes(16000))
        session.respond()
        session.cut("translation-1", 0)
        await asyncio.sleep(0.5)
        assert [ReplyBegan("translation-1")] == told
        await session.close()
        await running
    finally:
        await engine.close()


async def test_a_model_that_cannot_be_loaded_is_one_sentence(tmp_path: Path) -> None:
    folder = model_of(tmp_path)
    (folder / "model.safetensors").write_bytes(b"broken")
    engine = s2s_translatotron.create(EngineConfig(options={"model": str(folder)}))
    with pytest.raises(UsageError, match=r"model\.safetensors cannot be read"):
        await engine.start()

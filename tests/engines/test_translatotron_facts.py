"""What of Translatotron needs no torch: sizes, plans, sentences, words from phonemes, where an utterance is."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from voicebot.engines import registry, s2s_translatotron
from voicebot.engines.base import EngineConfig
from voicebot.engines.s2s_translatotron import pairs, presets, schedule, sentences
from voicebot.engines.s2s_translatotron.loudness import levelled, over_the_telephone
from voicebot.engines.s2s_translatotron.plot import CELL, png
from voicebot.engines.s2s_translatotron.presets import T1, T2, preset
from voicebot.engines.s2s_translatotron.spelling import spelled
from voicebot.engines.s2s_translatotron.utterance import BEFORE_MS, Utterance
from voicebot.engines.s2s_translatotron.warp import distances, edits
from voicebot.errors import UsageError

# --- the papers' tables


def test_translatotrons_presets_have_the_sizes_of_the_papers_table() -> None:
    rows = {}
    for name in ("conversational", "fisher"):
        c = preset("translatotron", name)
        assert isinstance(c, T1)
        encoder, decoder = (c.encoder_layers, c.encoder_units), (c.decoder_layers, c.decoder_units)
        aux = (c.aux_layers, c.aux_units, c.aux_source_layer, c.aux_target_layer)
        rows[name] = (encoder, decoder, aux, c.dropout, c.prenet[-1], c.attention_heads, c.reduction, c.target.width)
    assert ((8, 1024), (6, 1024), (2, 256, 8, 8), 0.2, 32, 4, 2, 1025) == rows["conversational"]
    assert ((8, 256), (4, 1024), (3, 256, 4, 6), 0.3, 32, 4, 2, 1025) == rows["fisher"]


def test_translatotrons_training_is_the_papers() -> None:
    conversational, fisher = (schedule.plan("translatotron", name) for name in ("conversational", "fisher"))
    assert (0.002, 1024, "adafactor", 0.0) == (
        conversational.rate, conversational.batch, conversational.optimizer, conversational.weight_noise
    )  # fmt: skip
    assert (0.006, 0.05) == (fisher.rate, fisher.weight_noise)
    assert [1.0, 1.0] == [conversational.aux_weight(step) for step in (0, 160_000)]
    assert [0.3, 0.001, 0.001] == [round(fisher.aux_weight(step), 6) for step in (0, 160_000, 200_000)]


def test_translatotron_2s_presets_have_the_sizes_of_the_papers_table() -> None:
    rows = {}
    for name in ("fisher", "covost2", "conversational"):
        c = preset("translatotron2", name)
        assert isinstance(c, T2)
        assert (16, 144, 4, 32) == (c.encoder_layers, c.encoder_units, c.encoder_heads, c.encoder_kernel)
        assert (2, 1024, 128, 5, 512) == (
            c.acoustic_layers, c.acoustic_units, c.prenet[-1], c.postnet_layers, c.postnet_channels
        )  # fmt: skip
        assert (24000, 128, 50.0, 12.5) == (c.target.rate, c.target.bands, c.target.window_ms, c.target.hop_ms)
        assert (0.1, 0.1, 10.0) == (c.zoneout, c.label_smoothing, c.phoneme_weight)
        attention, decoder = (c.attention_units, c.attention_heads), (c.decoder_layers, c.decoder_units)
        rows[name] = attention, decoder, c.phoneme_units, (c.duration_layers, c.duration_units), c.dropout
    assert ((256, 4), (4, 256), 96, (2, 64), 0.1) == rows["fisher"]
    assert ((512, 8), (6, 512), 256, (2, 128), 0.2) == rows["covost2"]
    assert ((512, 8), (4, 512), 256, (2, 128), 0.1) == rows["conversational"]


@pytest.mark.parametrize("key", sorted(presets.PRESETS), ids="-".join)
def test_a_configuration_survives_json(key: tuple[str, str]) -> None:
    config = replace(preset(*key), target_phonemes=("a", "b"))
    assert config == presets.from_json(presets.to_json(config))


def test_a_preset_is_heard_and_spoken_at_the_rate_that_is_asked_for() -> None:
    config = preset("translatotron2", "fisher", 8000)
    assert (8000, 8000, 100, 400, 512) == (
        config.source.rate, config.target.rate, config.target.hop, config.target.window, config.target.fft
    )  # fmt: skip
    assert config.target.high_hz <= 4000


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("translatotron3", "tiny", None), "There is no model 'translatotron3'"),
        (("translatotron", "covost2", None), "has no preset 'covost2'. Use one of: conversational, fisher, tiny."),
        (("translatotron2", "tiny", 44100), "8000 or 16000, not 44100"),
    ],
)
def test_what_there_is_not_is_told(wrong: tuple[str, str, int | None], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        preset(*wrong)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({}, "None is no architecture"),
        ({"architecture": "translatotron2", "wings": 2}, "keys unknown here: wings"),
        ({"architecture": "translatotron2", "source": {"rate": 8000, "bands": 64}}, "incomplete"),
    ],
)
def test_settings_that_are_none_are_refused_in_one_sentence(data: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        presets.from_json(data)


# --- the plan of a training


def test_the_learning_rate_warms_up_and_comes_down() -> None:
    plan = schedule.plan("translatotron2", "tiny")
    assert plan.rate / 100 == pytest.approx(plan.rate_at(0, 0.0))
    assert plan.rate == pytest.approx(plan.rate_at(100, 0.0))
    assert plan.rate * 0.02 == pytest.approx(plan.rate_at(5000, 1.0))


def test_the_curriculum_asks_for_fewer_frames_a_step_as_it_goes() -> None:
    plan = schedule.plan("translatotron", "tiny")
    stages = [plan.stage(over) for over in (0.0, 0.5, 0.9)]
    assert [8, 5, 3] == [stage.reduction for stage in stages if stage]
    assert [True, True, False] == [stage.guide_weight > 0 for stage in stages if stage]


# --- pairs


def test_what_is_validated_with_is_never_learnt() -> None:
    learnt, held = sentences.corpus("es-en")
    assert sentences.HELD_OUT == len(held)
    assert set() == set(learnt) & set(held)
    chance = random.Random(0)
    assert set() == {sentences.lesson(learnt, chance) for _ in range(2000)} & set(held)


def test_made_up_sentences_agree_in_number_and_gender_and_turn_the_adjective_around() -> None:
    learnt, held = sentences.corpus("es-en")
    known = dict([*learnt, *held])
    assert "I want one red table" == known["quiero una mesa roja"]
    assert "I have five old cars" == known["tengo cinco coches viejos"]
    assert "I sell one cheap book" == known["vendo un libro barato"]


def test_languages_without_sentences_are_told() -> None:
    with pytest.raises(UsageError, match="for 'es-de'; there are for es-en"):
        sentences.corpus("es-de")


def test_pairs_are_made_by_two_voices_with_exact_times() -> None:
    made = pairs.made("es-en", 3, (8000, 16000))
    for pair in made:
        assert len(pair.target_phonemes) + 1 == len(pair.starts_s)
        assert list(pair.starts_s) == sorted(pair.starts_s)
        assert pair.starts_s[-1] <= len(pair.target) / 16000 + 0.01
        assert 0.3 < len(pair.source) / 8000 < 6
    assert len({len(pair.source) for pair in made}) > 1


def test_the_same_seed_makes_the_same_pairs() -> None:
    one, other = (pairs.made("es-en", 2, (8000, 8000), seed=5) for _ in range(2))
    assert [pair.source_text for pair in one] == [pair.source_text for pair in other]
    assert all(np.array_equal(a.source, b.source) for a, b in zip(one, other, strict=True))


def table(folder: Path, row: dict[str, str]) -> Path:
    import soundfile

    for name in ("a.wav", "b.wav"):
        soundfile.write(folder / name, np.sin(np.arange(8000) / 5) * 0.1, 16000)
    file = folder / "pairs.tsv"
    file.write_text("\t".join(row) + "\n" + "\t".join(row.values()) + "\n")
    return file


ROW = {"source": "a.wav", "target": "b.wav", "source_text": "hola", "target_text": "hello"}


def test_a_table_of_recordings_is_read_with_phonemes_of_its_own_or_espeaks(tmp_path: Path) -> None:
    own = table(tmp_path, ROW | {"source_phonemes": "o l a", "target_phonemes": "h ə l oʊ"})
    assert [(("o", "l", "a"), 4000)] == [(p.source_phonemes, len(p.source)) for p in pairs.read(own, (8000, 8000))]
    spoken = table(tmp_path, ROW | {"source_language": "es", "target_language": "en"})
    assert ("o", "l", "a") == pairs.read(spoken, (8000, 8000))[0].source_phonemes


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({key: text for key, text in ROW.items() if key != "target"}, "line 2: it has no column 'target'"),
        (ROW | {"source": "gone.wav"}, "line 2: .*gone.wav"),
        (ROW, "line 2: it has no column 'source_language'"),
    ],
)
def test_a_table_that_is_none_is_refused_in_one_sentence(tmp_path: Path, row: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        pairs.read(table(tmp_path, row), (8000, 8000))


def test_speech_is_levelled_whatever_silence_is_around_it() -> None:
    tone = np.sin(np.arange(8000) / 3).astype(np.float32) * np.float32(0.02)
    alone, within = levelled(tone, 8000), levelled(np.pad(tone, (4000, 4000)), 8000)
    assert float(np.abs(alone).max()) == pytest.approx(float(np.abs(within).max()), rel=0.02)


def test_the_telephone_adds_its_noise_and_keeps_the_length() -> None:
    tone = np.sin(np.arange(8000) / 3).astype(np.float32) * np.float32(0.1)
    heard = over_the_telephone(tone, 0.01, np.random.default_rng(0))
    assert len(tone) == len(heard)
    assert 0.009 < float(np.std(heard - tone)) < 0.012


# --- comparing


def test_edits_are_counted() -> None:
    assert [0, 1, 2, 3] == [edits("abc", "abc"), edits("abc", "abd"), edits("abc", "a"), edits("", "abc")]


def test_a_spectrogram_is_nearest_to_itself_at_another_tempo() -> None:
    chance = np.random.default_rng(0)
    wanted = [chance.standard_normal((60, 8)).astype(np.float32).cumsum(axis=0) for _ in range(4)]
    slower = [np.repeat(each, 2, axis=0) for each in wanted]
    assert [0, 1, 2, 3] == distances(slower, wanted).argmin(axis=1).tolist()


WORDS = {"I": ("aɪ",), "want": ("w", "ɒ", "n", "t"), "two": ("t", "uː"), "red": ("ɹ", "ɛ", "d")}


def test_phonemes_are_spelled_with_the_words_that_fit_best() -> None:
    assert "I want two red" == spelled("aɪ w ɒ n t t uː ɹ ɛ d".split(), WORDS)
    assert "I want two red" == spelled("aɪ w ɒ n t t uː ɹ e d".split(), WORDS)


def test_phonemes_that_no_words_fit_stay_phonemes() -> None:
    assert "/zʒzʒ/" == spelled("z ʒ z ʒ".split(), WORDS)
    assert "" == spelled([], WORDS)


def test_an_attention_is_a_picture_whose_black_is_what_was_looked_at() -> None:
    picture = png(np.eye(3, 5, dtype=np.float32))
    assert picture.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", picture[16:24])
    assert (5 * CELL, 3 * CELL) == (width, height)
    rows = zlib.decompress(picture[picture.index(b"IDAT") + 4 : picture.index(b"IEND") - 8])
    assert b"\0" + bytes(CELL) + b"\xff" * 4 * CELL == rows[: width + 1]


# --- an utterance in a call's audio


def frames(level: float, ms: int) -> list[bytes]:
    chance = np.random.default_rng(1)
    one = (chance.standard_normal(160) * level * 32767).astype("<i2").tobytes()
    return [one] * (ms // 20)


def test_a_pause_is_told_once_while_somebody_has_the_floor() -> None:
    utterance = Utterance(8000)
    before = [utterance.push(frame) for frame in frames(0.1, 500) + frames(0.001, 500)]
    assert 0 == sum(before)
    utterance.began()
    told = [utterance.push(frame) for frame in frames(0.1, 500) + frames(0.001, 500) + frames(0.1, 200)]
    assert 1 == sum(told)
    assert told[25 + 5]
    assert not utterance.paused


def test_an_utterance_begins_half_a_second_before_it_was_told() -> None:
    utterance = Utterance(8000)
    for frame in frames(0.001, 3000):
        utterance.push(frame)
    utterance.began()
    for frame in frames(0.1, 400):
        utterance.push(frame)
    assert (BEFORE_MS + 400) * 16 == len(utterance.audio())
    utterance.taken()
    assert BEFORE_MS * 16 == len(utterance.audio())


# --- the engine as a name


def test_it_is_loaded_by_name_and_says_what_it_needs_without_importing_it() -> None:
    assert "translatotron" in registry.names("s2s")
    code = (
        "import sys; from voicebot.engines import registry; print(registry.check('s2s', 'translatotron')); "
        "print('torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split("\n")
    assert "False" == said[1]
    assert said[0] == "None" or "pip install 'voicebot[translatotron]'" in said[0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "needs a model"),
        ({"model": "nowhere"}, "nowhere holds no Translatotron"),
        ({"mood": 1}, "no option 'mood'"),
        ({"model": "x", "rounds": 1000}, "from 5 to 100, not 1000"),
    ],
)
def test_options_that_cannot_be_are_refused_in_one_sentence(options: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        s2s_translatotron.create(EngineConfig(options=options))

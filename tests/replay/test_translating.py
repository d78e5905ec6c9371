"""Judging interpreters: on a live call by way of text, and the sums on what is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import yaml

from voicebot.engines.s2s_translatotron import pairs
from voicebot.engines.s2s_translatotron.pairs import Pair
from voicebot.errors import UsageError
from voicebot.replay import translating
from voicebot.replay.translating import Sentence

PLAN = """
name: interpreter
language: es-ES
mode: interpret
interpret: {to: en-US, by: [cascade, other], call: "+15550100", text: phrasebook}
"""


def pair(target: str = "five red tables") -> Pair:
    sound = np.full(8000, 0.1, np.float32)
    return Pair(sound, sound, "cinco mesas rojas", target, (), ())


def sentence(judged: str = "five red tables", heard_ms: int = 1500) -> Sentence:
    return Sentence(pair(), 0, 1000, heard_ms, np.full(8000, 0.1, np.float32), "", judged)


def test_a_dialplan_is_cut_down_to_one_interpreter_who_speaks_to_the_caller() -> None:
    told = yaml.safe_load(translating.only(PLAN, "other"))["interpret"]
    assert (["other"], "") == (told["by"], told["call"])
    with pytest.raises(UsageError, match="has no `mode: interpret`"):
        translating.only("name: coffee", "cascade")


def test_lagging_is_how_far_the_words_are_behind_those_of_the_source() -> None:
    # Three words in 1000 ms of source; the first word comes 500 ms after its end: all others are after the end, too.
    assert 1500 == pytest.approx(translating.lagging_ms(sentence()))
    # One who speaks 100 ms behind and keeps pace is 100 ms behind, on average.
    simultaneous = replace(sentence(heard_ms=100), heard=np.full(8000, 0.1, np.float32))
    assert 100 == pytest.approx(translating.lagging_ms(simultaneous))


def test_what_is_heard_is_compared_in_words_and_in_phonemes() -> None:
    pytest.importorskip("sacrebleu", reason="needs sacrebleu: pip install 'voicebot[translatotron]'")
    right, wrong = sentence(), sentence("nine dogs")
    best = translating.summed_up(
        "a", [right, replace(right, pair=pair("five red tables and four"), judged="five red tables and four")]
    )
    assert (100.0, 100.0, 0.0, 0) == (round(best.bleu), round(best.chrf), best.phoneme_error, best.lost)
    worse = translating.summed_up("a", [right, wrong, replace(wrong, heard_ms=0)])
    assert worse.phoneme_error > 0.4
    assert (3, 1) == (worse.sentences, worse.lost)
    assert 500 == worse.latency_ms


def test_pauses_divide_what_was_said() -> None:
    voice = np.zeros(40_000, bool)
    voice[4000:8000] = voice[20_000:22_000] = voice[22_500:24_000] = True
    assert [(4000, 7999), (20_000, 23_999)] == translating._spans(voice, 2)
    with pytest.raises(UsageError, match="Nothing was said on the call"):
        translating._spans(np.zeros(100, bool), 1)


def test_a_translation_that_sounds_like_its_reference_is_nearest_to_it() -> None:
    test = pairs.unseen("es-en", 4, (8000, 8000))
    right = [Sentence(each, 0, 1000, 1500, each.target * np.float32(0.5), "") for each in test]
    assert 1.0 == translating.nearest(right)
    mixed = [replace(each, heard=other.heard) for each, other in zip(right, [*right[1:], right[0]], strict=True)]
    assert 0.0 == translating.nearest(mixed)


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_recogniser_writes_down_what_the_references_say() -> None:
    test = pairs.unseen("es-en", 6, (8000, 8000))
    texts = await translating.written_down(
        [each.target for each in test], [each.target_text for each in test], "pocketsphinx", "en-US"
    )
    right = sum(text == each.target_text.lower() for text, each in zip(texts, test, strict=True))
    assert right >= 1  # a small recogniser and a formant voice over the telephone: a weak judge, and known to be one

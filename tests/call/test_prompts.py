"""Fixed sentences: made once, kept, and made again when the copy is broken."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.call.prompts import Prompt, PromptCache, pack, unpack
from voicebot.engines import tts_espeak
from voicebot.engines.base import EngineConfig, Speech, SpokenWord
from voicebot.errors import PeerError


class Voice:
    """A synthesiser: a tone of 100 ms a word, in chunks of one word. Counts what it was asked for."""

    def __init__(self, rate: int = 8000, timed: bool = True, voice_id: str = "tone/1") -> None:
        self.voice_id, self.rate, self.timed = voice_id, rate, timed
        self.asked: list[str] = []
        self.at_once = self.most_at_once = 0
        self.fails: set[str] = set()

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def speak(self, clauses: AsyncIterator[str]) -> AsyncIterator[Speech]:
        async for text in clauses:
            self.asked.append(text)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            await asyncio.sleep(0.01)
            self.at_once -= 1
            if text in self.fails:
                raise PeerError("no voice today")
            tone = (8000 * np.sin(np.arange(self.rate // 10) * 2 * np.pi * 440 / self.rate)).astype("<i2")
            for word in text.split():
                yield Speech(tone.tobytes(), self.rate, (SpokenWord(word + " ", 0),) if self.timed else ())


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


async def test_a_prepared_sentence_is_there_with_its_words_in_place(tmp_path: Path) -> None:
    cache, voice = PromptCache(tmp_path), Voice()
    await cache.prepare(voice, ["One moment, please.", "Goodbye."])
    prompt = cache.get(voice.voice_id, " One moment, please. ")
    assert prompt
    assert (SpokenWord("One ", 0), SpokenWord("moment, ", 800), SpokenWord("please. ", 1600)) == prompt.words
    assert (len(prompt.ulaw), len(prompt.pcm), prompt.ms) == (2400, 4800, 300)


async def test_an_unprepared_sentence_or_another_voice_is_not_there(tmp_path: Path) -> None:
    cache, voice = PromptCache(tmp_path), Voice()
    await cache.prepare(voice, ["Goodbye.", "  "])
    assert (cache.get(voice.voice_id, "Hello."), cache.get("tone/2", "Goodbye.")) == (None, None)


async def test_a_sentence_is_synthesised_once_and_read_after_a_restart(tmp_path: Path) -> None:
    voice, again = Voice(), Voice()
    first, restarted = PromptCache(tmp_path), PromptCache(tmp_path)
    await first.prepare(voice, ["Goodbye.", "Goodbye. ", "Hello."])
    await first.prepare(voice, ["Goodbye."])
    await restarted.prepare(again, ["Goodbye.", "Hello."])
    assert (sorted(voice.asked), again.asked) == (["Goodbye.", "Hello."], [])
    assert first.get("tone/1", "Hello.") == restarted.get("tone/1", "Hello.")


@pytest.mark.parametrize("broken", [b"", b"voicebot prompt\n", None])
async def test_a_broken_file_is_made_again(tmp_path: Path, broken: bytes | None) -> None:
    """None: the file was cut in the middle."""
    voice = Voice()
    await PromptCache(tmp_path).prepare(voice, ["Goodbye."])
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if broken is None else broken)
    cache = PromptCache(tmp_path)
    await cache.prepare(voice, ["Goodbye."])
    assert cache.get("tone/1", "Goodbye.")
    assert (2, whole) == (len(voice.asked), path.read_bytes())


async def test_a_folder_that_cannot_be_written_costs_nothing_but_the_copy(tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"a file where the folder should be")
    cache, voice = PromptCache(tmp_path / "taken"), Voice()
    await cache.prepare(voice, ["Goodbye."])
    assert cache.get("tone/1", "Goodbye.")


async def test_over_the_limit_the_prompts_unused_for_longest_go(tmp_path: Path) -> None:
    await PromptCache(tmp_path).prepare(Voice(), ["one two three"])
    (old,) = files(tmp_path)
    os.utime(old, (1, 1))
    size = old.stat().st_size
    await PromptCache(tmp_path, most_bytes=2 * size + size // 2).prepare(Voice(), ["four five six", "seven eight nine"])
    assert not old.exists()
    assert len(files(tmp_path)) == 2


async def test_only_a_few_sentences_are_made_at_once(tmp_path: Path) -> None:
    voice = Voice()
    await PromptCache(tmp_path).prepare(voice, [f"Number {n}." for n in range(20)])
    assert len(voice.asked) == 20
    assert voice.most_at_once <= 4


async def test_a_sentence_that_cannot_be_spoken_is_a_peer_error(tmp_path: Path) -> None:
    voice = Voice()
    voice.fails = {"Goodbye."}
    with pytest.raises(PeerError, match="no voice today"):
        await PromptCache(tmp_path).prepare(voice, ["Hello.", "Goodbye."])


async def test_speech_of_another_rate_is_brought_to_8_khz_and_its_words_with_it(tmp_path: Path) -> None:
    cache = PromptCache(tmp_path)
    await cache.prepare(Voice(rate=24000), ["One moment"])
    prompt = cache.get("tone/1", "One moment")
    assert prompt
    assert (SpokenWord("One ", 0), SpokenWord("moment ", 800)) == prompt.words
    assert len(prompt.ulaw) == 1600


@pytest.mark.parametrize("rate", [8000, 24000])
async def test_without_word_times_the_words_are_spread_over_the_sentence(tmp_path: Path, rate: int) -> None:
    cache = PromptCache(tmp_path)
    await cache.prepare(Voice(rate, timed=False), ["ab ab ab ab"])
    prompt = cache.get("tone/1", "ab ab ab ab")
    assert prompt
    assert [word.at for word in prompt.words] == [0, 800, 1600, 2400]


async def test_the_embedded_voice_makes_prompts_whose_words_are_the_text(tmp_path: Path) -> None:
    voice, text = tts_espeak.create(EngineConfig()), "Are you still there? I can't hear you."
    await voice.start()
    cache = PromptCache(tmp_path)
    await cache.prepare(voice, [text])
    await voice.close()
    prompt = cache.get(voice.voice_id, text)
    assert prompt
    assert text == "".join(word.text for word in prompt.words)
    assert all(0 <= word.at < len(prompt.ulaw) for word in prompt.words)
    assert 1500 < prompt.ms < 5000


WORDS = st.lists(st.builds(SpokenWord, st.text(st.characters(codec="utf-8")), st.integers(0, 10**6)), max_size=5)


@given(st.binary(max_size=200), WORDS)
def test_a_packed_prompt_comes_back_whole(ulaw: bytes, words: list[SpokenWord]) -> None:
    prompt = Prompt(ulaw, tuple(words))
    assert prompt == unpack(pack(prompt))


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda tail: b"voicebot prompt\n" + tail))
def test_no_other_bytes_are_taken_for_a_prompt(data: bytes) -> None:
    with pytest.raises(ValueError):
        unpack(data)

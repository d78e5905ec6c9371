"""Sentences that a dialplan says word for word, synthesised before the first call.

Kept in memory as 8 kHz μ-law with the place of every word, and on disk, so that a restart speaks at once. A file is
named by the hash of voice, text and format; it carries a digest of its content, so that one cut short by a crash or a
full disk is made again instead of being played.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import orjson

from voicebot import log
from voicebot.audio.g711 import ulaw_decode, ulaw_encode
from voicebot.audio.resample import resample_whole
from voicebot.core.playout import align
from voicebot.engines.base import SpokenWord, Tts
from voicebot.errors import PeerError

RATE = 8000
FORMAT = 1
"""Changes whenever a file written before could not be read any more, or would sound different."""
AT_ONCE = 4
"""Sentences being synthesised or read at the same time."""
SENTENCE_DEADLINE_S = 30.0
LONGEST_S = 120
"""A longer sentence is no prompt: it is spoken live."""
_SUFFIX = ".prompt"
_MAGIC = b"voicebot prompt\n"
_DIGEST_BYTES = 32
_log = log.get("prompts")


@dataclass(frozen=True, slots=True)
class Prompt:
    ulaw: bytes
    """8 kHz G.711 μ-law."""
    words: tuple[SpokenWord, ...]
    """They concatenate to the text; `at` is a sample of the whole prompt."""

    @property
    def pcm(self) -> bytes:
        """int16 LE mono, 8 kHz."""
        return ulaw_decode(self.ulaw)

    @property
    def ms(self) -> int:
        return len(self.ulaw) * 1000 // RATE


class Prompts(Protocol):
    """Where a call finds what was synthesised beforehand."""

    def get(self, voice_id: str, text: str, /) -> Prompt | None:
        """The prompt, if it was prepared. Space around the text does not matter."""
        ...


class PromptCache:
    """`folder` may be lost at any time: it only saves work. Beyond `most_bytes` the prompts unused for longest go."""

    def __init__(self, folder: Path, most_bytes: int = 256 * 1024 * 1024) -> None:
        self._folder, self._most_bytes = folder, most_bytes
        self._prompts: dict[str, Prompt] = {}

    def get(self, voice_id: str, text: str) -> Prompt | None:
        """The prompt, if it was prepared. Space around the text does not matter."""
        return self._prompts.get(_key(voice_id, text))

    async def prepare(self, tts: Tts, sentences: Iterable[str]) -> None:
        """Have every sentence ready in the voice of `tts`. `PeerError` when it cannot speak one of them."""
        wanted = {_key(tts.voice_id, text): text.strip() for text in sentences if text.strip()}
        missing = [(key, text) for key, text in wanted.items() if key not in self._prompts]
        turns = asyncio.Semaphore(AT_ONCE)
        try:
            async with asyncio.TaskGroup() as group:
                for key, text in missing:
                    group.create_task(self._prepare(tts, key, text, turns))
        except* PeerError as failed:
            raise failed.exceptions[0] from None
        if missing:
            await asyncio.to_thread(self._prune)

    async def _prepare(self, tts: Tts, key: str, text: str, turns: asyncio.Semaphore) -> None:
        async with turns:
            prompt = await asyncio.to_thread(self._read, key)
            if prompt is None:
                prompt = await _synthesise(tts, text)
                if prompt.ms > LONGEST_S * 1000:
                    _log.warning("sentence_too_long_for_a_prompt", seconds=prompt.ms // 1000)
                    return
                await asyncio.to_thread(self._write, key, prompt)
            self._prompts[key] = prompt

    # --- on disk

    def _path(self, key: str) -> Path:
        return self._folder / (key + _SUFFIX)

    def _read(self, key: str) -> Prompt | None:
        path = self._path(key)
        try:
            prompt = unpack(path.read_bytes())
            os.utime(path)  # used today: the last to be pruned
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            _log.warning("prompt_unreadable", file=path.name, error=str(error))
            return None
        return prompt

    def _write(self, key: str, prompt: Prompt) -> None:
        """Atomically: another process may be writing the same. A full disk costs the copy, not the prompt."""
        name = ""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._folder, prefix=key, suffix=".part")
            with os.fdopen(handle, "wb") as file:
                file.write(pack(prompt))
            os.replace(name, self._path(key))
        except OSError as error:
            _log.warning("prompt_not_kept", error=str(error))
            if name:
                Path(name).unlink(missing_ok=True)

    def _prune(self) -> None:
        """Remove the files unused for longest until the rest fits, half-written ones of a crash included."""
        try:
            files = [(path.stat(), path) for path in self._folder.iterdir()]
        except OSError:
            return
        left = sum(stat.st_size for stat, _ in files)
        for stat, path in sorted(files, key=lambda file: file[0].st_mtime):
            if left <= self._most_bytes:
                break
            path.unlink(missing_ok=True)
            left -= stat.st_size


def pack(prompt: Prompt) -> bytes:
    """One file: magic, digest of the rest, words as a JSON line, μ-law."""
    words = orjson.dumps([[word.text, word.at] for word in prompt.words])
    content = words + b"\n" + prompt.ulaw
    return _MAGIC + hashlib.sha256(content).digest() + content


def unpack(data: bytes) -> Prompt:
    """`ValueError` for anything but a whole file."""
    start = len(_MAGIC) + _DIGEST_BYTES
    content = data[start:]
    if not data.startswith(_MAGIC) or hashlib.sha256(content).digest() != data[len(_MAGIC) : start]:
        raise ValueError("not a whole prompt")
    words, _, ulaw = content.partition(b"\n")
    return Prompt(ulaw, tuple(SpokenWord(str(text), int(at)) for text, at in orjson.loads(words)))


def _key(voice_id: str, text: str) -> str:
    named = orjson.dumps([FORMAT, voice_id, text.strip()])
    return hashlib.sha256(named).hexdigest()[:40]


async def _synthesise(tts: Tts, text: str) -> Prompt:
    pcm, words, rate = bytearray(), [], RATE
    try:
        async with asyncio.timeout(SENTENCE_DEADLINE_S):
            async for speech in tts.speak(_one(text)):
                rate = speech.rate
                words += [SpokenWord(word.text, word.at + len(pcm) // 2) for word in speech.words]
                pcm += speech.pcm
    except TimeoutError:
        raise PeerError("The synthesiser took too long over a fixed sentence.", retryable=True) from None
    if not pcm:
        raise PeerError("The synthesiser gave no audio for a fixed sentence.", retryable=True)
    audio = resample_whole(bytes(pcm), rate, RATE)
    if not words:
        words = [SpokenWord(word, at * rate // RATE) for at, word in align(text, len(audio) // 2)]
    return Prompt(ulaw_encode(audio), tuple(SpokenWord(word.text, word.at * RATE // rate) for word in words))


async def _one(text: str) -> AsyncIterator[str]:
    yield text

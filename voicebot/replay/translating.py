"""How well an interpreter interprets: real calls with one person who says sentences whose translation is known.

Everything is measured on the call's own record: what was heard back, over the telephone's 8 kHz μ-law, and when. A
recogniser writes down what was heard; its words are compared with the reference.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import wave
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr
import yaml

from voicebot.audio import logmel
from voicebot.audio.g711 import ulaw_decode, ulaw_encode
from voicebot.call.runtime import Runtime, new_call_id
from voicebot.carriers.base import RATE, CallInfo
from voicebot.carriers.wavline import WavLine
from voicebot.config import Settings
from voicebot.core.expect import Expectation, Mode
from voicebot.core.timeline import Record, decode
from voicebot.engines import registry
from voicebot.engines.base import Asr, EngineConfig
from voicebot.engines.s2s_translatotron.pairs import Pair, Speaker, speaker
from voicebot.engines.s2s_translatotron.warp import distances, edits
from voicebot.errors import UsageError

Samples = npt.NDArray[np.float32]
NOBODY = "none"
"""As a judge: the engine's own word for what it said is taken."""
TELEPHONE_BANDS = 50
"""Of the 80 log-mel bands, those below 4 kHz."""
PAUSE_S = 0.3
"""Of silence around each sentence."""
JUDGE_S = 20.0
"""For the recogniser to write one translation down."""
LONG_S = 3600.0


@dataclass(frozen=True, slots=True)
class Sentence:
    """One of a test, and what became of it. Times are milliseconds of the call."""

    pair: Pair
    began_ms: int
    """Of the person's voice."""
    ended_ms: int
    heard_ms: int
    """The first of the translation; 0 where none came."""
    heard: Samples
    """The translation as it was played, 8 kHz."""
    said: str
    """What the engine says that it said."""
    judged: str = ""
    """What the recogniser understood."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One engine's. Shares are 0..1."""

    engine: str
    sentences: int
    lost: int
    """Of which nothing was heard."""
    bleu: float
    """ASR-BLEU and ChrF: of the recogniser's words against the references (sacrebleu), 0..100."""
    chrf: float
    phoneme_error: float
    """Of the recogniser's words against the references, both as espeak-ng says them."""
    nearest: float
    """Translations whose sound is nearer to their own reference's than to any other's (dynamic time warping of log-mel
    spectrograms): no recogniser is asked, but a voice unlike the reference's makes it harder."""
    duration: float
    """Sound of the translations over that of the references."""
    latency_ms: int
    """From the end of the person's voice to the first of the translation; the median."""
    slow_ms: int
    """… of the slowest tenth."""
    lagging_ms: int
    """Average lagging (arXiv:1810.08398), with words spread evenly over the sound: for an interpreter that speaks while
    the other still does, how far it is behind."""


async def judge(
    plan: str, engine: str, pairs: Sequence[Pair], judge: str, told: Callable[[str], None] = lambda what: None
) -> tuple[Judged, list[Sentence]]:
    """Interpret every pair's source with one engine of the dialplan (`plan`: its text), and compare. Takes as long as
    the call does. `UsageError` when the engine cannot run here."""
    told(f"{engine}: the call")
    sentences = await interpreted(only(plan, engine), pairs)
    told(f"{engine}: listening")
    references = [pair.target_text for pair in pairs]
    target = str(yaml.safe_load(plan)["interpret"]["to"])
    sounds = [each.heard for each in sentences]
    texts = await written_down(sounds, references, judge, target) if judge != NOBODY else [s.said for s in sentences]
    done = [replace(each, judged=text) for each, text in zip(sentences, texts, strict=True)]
    return summed_up(engine, done), done


async def interpreted(plan: str, pairs: Sequence[Pair]) -> list[Sentence]:
    """Every pair's source, said on one call that a dialplan (its text) interprets for the caller."""
    with tempfile.TemporaryDirectory() as folder:
        records, audio = await _called(plan, pairs, Path(folder))
    return _sentences(pairs, records, audio)


def only(plan: str, engine: str) -> str:
    """A dialplan's text with one interpreter and no other side: the person hears the translation."""
    data: dict[str, Any] = yaml.safe_load(plan)
    if data.get("mode") != "interpret":
        raise UsageError("The dialplan is not an interpreter's: it has no `mode: interpret`.")
    data["interpret"] |= {"by": [engine], "call": ""}
    data["limits"] = {"max_call_s": 14400}
    return str(yaml.safe_dump(data, allow_unicode=True))


async def ceiling(pairs: Sequence[Pair], judge: str, language: str) -> Judged:
    """The references' own sound, over the telephone, judged as a translation is: better than this no engine can
    look."""
    said = [_over_the_line(pair.target) for pair in pairs]
    sounds = [np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768) for pcm in said]
    texts = await written_down(sounds, [pair.target_text for pair in pairs], judge, language)
    rows = zip(pairs, sounds, texts, strict=True)
    return summed_up(
        "the references", [Sentence(pair, 0, 0, 1, _trimmed(sound), "", text) for pair, sound, text in rows]
    )


async def _called(plan: str, pairs: Sequence[Pair], folder: Path) -> tuple[list[Record], npt.NDArray[np.int16]]:
    file = folder / "judged.yaml"
    file.write_text(plan, "utf-8")
    runtime = Runtime(Settings(data_dir=folder, dialplans=file))
    try:
        await runtime.start()
        info = CallInfo(new_call_id(), "wavline", "", "")
        line = WavLine(info, [_over_the_line(pair.source) for pair in pairs], stays_ms=6000)
        async with asyncio.timeout(LONG_S):
            await runtime.run_call(line, next(iter(runtime.dialplans.values())))
    finally:
        await runtime.close()
    call = folder / "calls" / info.call_id
    with wave.open(str(call / "audio.wav")) as sound:
        audio = np.frombuffer(sound.readframes(sound.getnframes()), "<i2").reshape(-1, 2)
    return list(decode((call / "timeline.jsonl").read_bytes().splitlines())), audio


def _over_the_line(samples: Samples) -> bytes:
    silence = np.zeros(int(PAUSE_S * RATE), np.float32)
    pcm = (np.clip(np.concatenate([silence, samples, silence]), -1, 1) * 32767).astype("<i2").tobytes()
    return ulaw_decode(ulaw_encode(pcm))


def _sentences(pairs: Sequence[Pair], records: Sequence[Record], audio: npt.NDArray[np.int16]) -> list[Sentence]:
    """Which translation belongs to which sentence: the one heard between its end and the next one's beginning."""
    voice = np.abs(audio[:, 0].astype(np.int32)) > 200
    spans = _spans(voice, len(pairs))
    heard_from = [record.ms for record in records if record.kind == "heard_from"]
    said = [(record.ms, str(record.fields["text"])) for record in records if record.kind == "interpreted"]
    found = []
    for number, (pair, (start, end)) in enumerate(zip(pairs, spans, strict=True)):
        until = spans[number + 1][0] if number + 1 < len(spans) else len(audio)
        first = next((ms for ms in heard_from if start // 8 < ms and ms * 8 < until), 0)
        back = audio[first * 8 : until, 1] if first else audio[:0, 1]
        text = " ".join(words for ms, words in said if start < ms * 8 < until)
        found.append(
            Sentence(pair, start // 8, end // 8, first, _trimmed(back.astype(np.float32) / np.float32(32768)), text)
        )
    return found


def _spans(voice: npt.NDArray[np.bool_], count: int) -> list[tuple[int, int]]:
    """Samples from and to which a person spoke, `count` times: the longest pauses divide them."""
    at = np.flatnonzero(voice)
    if not len(at):
        raise UsageError("Nothing was said on the call: the engine ended it.")
    gaps = np.diff(at)
    breaks = np.sort(np.argsort(gaps)[len(gaps) - (count - 1) :]) if count > 1 else np.array([], int)
    starts = [int(at[0]), *(int(at[each + 1]) for each in breaks)]
    ends = [*(int(at[each]) for each in breaks), int(at[-1])]
    return list(zip(starts, ends, strict=True))


def _trimmed(samples: Samples) -> Samples:
    loud = np.flatnonzero(np.abs(samples) > 0.01)
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples[:0]


async def written_down(sounds: Sequence[Samples], references: Sequence[str], judge: str, language: str) -> list[str]:
    """What a recogniser understands of each sound. It is told the references' sentences as what may be said: a small
    one understands little else, and is then a judge of which of them it was."""
    engine: Asr = registry.load("asr", judge).create(EngineConfig(language))
    phrases = tuple(dict.fromkeys(_plain(text) for text in references))
    expected = Expectation("judge", Mode.OPEN, phrases)
    await engine.start()
    try:
        await engine.prepare([expected])
        return [await _understood(engine, expected, sound) for sound in sounds]
    finally:
        await engine.close()


async def _understood(engine: Asr, expected: Expectation, sound: Samples) -> str:
    if not len(sound):
        return ""
    padded = np.pad(sound, (RATE // 4, RATE // 2))
    pcm = (soxr.resample(padded, RATE, engine.rate) * 32767).astype("<i2").tobytes()
    session = engine.open(expected)
    session.push(pcm)
    session.finish()
    async with asyncio.timeout(JUDGE_S):
        found = [words.text async for words in session.words() if words.final]
    return found[-1] if found else ""


def _plain(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum() or c in " '").strip()


def summed_up(engine: str, sentences: Sequence[Sentence]) -> Judged:
    """Of all sentences. `UsageError` where sacrebleu is not installed."""
    try:
        import sacrebleu
    except ImportError:
        raise UsageError("Judging needs sacrebleu: pip install 'voicebot[translatotron]'.") from None
    heard = [each for each in sentences if each.heard_ms]
    hypotheses = [_plain(each.judged) for each in sentences]
    references = [[_plain(each.pair.target_text) for each in sentences]]
    waits = sorted(each.heard_ms - each.ended_ms for each in heard) or [0]
    with speaker() as mouth:
        error = _phoneme_error(mouth, sentences)
    wanted = sum(len(each.pair.target) / RATE for each in heard)
    return Judged(
        engine, len(sentences), len(sentences) - len(heard),
        float(sacrebleu.corpus_bleu(hypotheses, references).score),
        float(sacrebleu.corpus_chrf(hypotheses, references).score),
        error, nearest(heard), sum(len(each.heard) / RATE for each in heard) / wanted if wanted else 0.0,
        round(statistics.median(waits)), waits[min(len(waits) - 1, len(waits) * 9 // 10)],
        round(statistics.mean(map(lagging_ms, heard))) if heard else 0,
    )  # fmt: skip


def nearest(sentences: Sequence[Sentence]) -> float:
    """Of those of which something was heard."""
    if not sentences:
        return 0.0
    made = [_picture(each.heard) for each in sentences]
    table = distances(made, [_picture(each.pair.target) for each in sentences])
    return float((table.argmin(axis=1) == np.arange(len(made))).mean())


def _picture(samples: Samples) -> Samples:
    """Log-mel, below 4 kHz, [T, 50]."""
    wide = soxr.resample(samples, RATE, logmel.RATE).astype(np.float32)
    columns = max(1, min(logmel.COLUMNS, len(wide) // logmel.HOP))
    return np.ascontiguousarray(logmel.log_mel(wide)[:TELEPHONE_BANDS, -columns:].T)


def _phoneme_error(mouth: Speaker, sentences: Sequence[Sentence]) -> float:
    wrong = total = 0
    for each in sentences:
        heard, meant = (_phonemes(mouth, text) for text in (each.judged, each.pair.target_text))
        wrong, total = wrong + edits(heard, meant), total + len(meant)
    return wrong / max(1, total)


def _phonemes(mouth: Speaker, text: str) -> tuple[str, ...]:
    plain = _plain(text)
    return mouth.say("en-us", plain, 150, 50, RATE).phonemes if plain else ()


def lagging_ms(sentence: Sentence) -> float:
    """How far the translation's words are behind an interpreter who would keep pace, on average, up to the first word
    that comes after the source's end."""
    words = max(1, len(sentence.pair.target_text.split()))
    source_ms = sentence.ended_ms - sentence.began_ms
    each_ms = len(sentence.heard) / RATE * 1000 / words
    delays: list[float] = []
    for number in range(words):
        at_ms = sentence.heard_ms - sentence.began_ms + number * each_ms
        delays.append(at_ms - number * source_ms / words)
        if at_ms >= source_ms:
            break
    return statistics.mean(delays)


def similarity(sentences: Sequence[Sentence], encoder: Path) -> float:
    """Cosine of the voices, the person's and the translation's, on average: for interpreters that keep voices.
    `encoder` is a speaker encoder's file; needs torch. `UsageError` where it is none."""
    import torch

    from voicebot.engines.s2s_translatotron import voice_encoder

    model = voice_encoder.load(encoder)

    def voice(samples: Samples) -> Any:
        wide = soxr.resample(samples, RATE, voice_encoder.SOUND.rate).astype(np.float32)
        return model.embed(torch.from_numpy(wide))

    heard = [each for each in sentences if len(each.heard)]
    return statistics.mean(float(voice(each.pair.source) @ voice(each.heard)) for each in heard) if heard else 0.0

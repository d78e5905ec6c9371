"""How well ends of turns are told from pauses: false cut-offs against latency, on real speech.

As in livekit's eot-bench, every silence is a decision: a wait that is shorter than a pause within a turn is a false
cut-off, and what it is at the end of a turn is latency. A policy is swept over everything that may be added to all
of its waits; figures are the share of pauses cut off at operating points of a mean latency, and the other way round.
Only silences that voice activity reports count (200 ms and more).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from voicebot.audio.frames import RATE
from voicebot.core.dialplan import Dialplan
from voicebot.core.end_of_turn import FLOOR_MS, EndOfTurn, Evidence, Weights, drawn, list_tone, settled
from voicebot.core.events import MAX_WAIT_MS
from voicebot.engines import registry
from voicebot.engines.base import Asr, EngineConfig, Eot
from voicebot.errors import UsageError
from voicebot.replay.spoken_tasks import recordings
from voicebot.replay.turn_spans import Silence, silences
from voicebot.replay.turn_tracks import MADE, READ, dictated, tracks
from voicebot.replay.understanding import hear

FIXED_MS = 600
SWEEP_MS = range(-1600, 2600, 10)
MODEL_DEADLINE_MS = 5000
"""Nothing is live here."""
PENALTY = 3.0
"""Of the fit, on squared weights: few recordings, so no large ones."""
NONE = Weights(list=0, drawn=0, habit=0, model=0)

Policy = Callable[[Sequence[Silence]], list[float]]
"""Waits for the silences of one speaker in order; infinite where it never ends the turn."""


@dataclass(frozen=True, slots=True)
class Row:
    group: str
    policy: str
    pauses: int
    ends: int
    cut_at_300: float | None
    """Share of pauses cut off, at the best operating point of at most 300 ms mean latency; None: there is none."""
    cut_at_600: float | None
    latency_at_5: float | None
    """Mean latency in ms where 5 % of pauses at most are cut off."""
    latency_at_10: float | None
    cut: float
    """As it is, with nothing added."""
    latency_ms: float


# --- policies ------------------------------------------------------------------------------------------------------


def fixed(found: Sequence[Silence]) -> list[float]:
    """The same silence for everybody."""
    return [FIXED_MS] * len(found)


def second_engine(found: Sequence[Silence]) -> list[float]:
    """The same silence, as the second voice activity engine alone hears it."""
    return [float("inf") if s.second_ms is None else FIXED_MS + s.second_ms for s in found]


def two_waits(found: Sequence[Silence]) -> list[float]:
    """`quick_ms` after settled words, else `pause_ms`."""
    waits = [(s.track.expectation, settled(s.track.expectation, s.text)) for s in found]
    return [each.quick_ms if quick else each.pause_ms for each, quick in waits]


def adaptive(weights: Weights, model: bool = False, words: bool = True) -> Policy:
    """`EndOfTurn`, told after each silence what happened. Without words all that is left of them is a constant."""

    def waits(found: Sequence[Silence]) -> list[float]:
        decision, answers = EndOfTurn(weights=weights), list[float]()
        for s in found:
            text, vote = s.text if words else "", s.model if model else None
            terms = decision.terms(Evidence(s.track.expectation, text, s.prosody, vote))
            answers.append(sum(terms.values()) + (0 if words else FIXED_MS - terms["words"]))
            if s.pause_ms is None:
                decision.taken()
            else:
                decision.went_on(s.pause_ms)
        return answers

    return waits


def policies(with_model: bool) -> Mapping[str, Policy]:
    """Baselines, what is shipped, and what each term does."""
    whole = Weights()
    own = {
        f"fixed {FIXED_MS} ms": fixed,
        "webrtcvad only": second_engine,
        "two waits": two_waits,
        "words": adaptive(NONE),
        "habit": adaptive(replace(NONE, habit=whole.habit), words=False),
        "list tone": adaptive(replace(NONE, list=whole.list), words=False),
        "drawn": adaptive(replace(NONE, drawn=whole.drawn), words=False),
        "all": adaptive(whole),
        "all but words": adaptive(whole, words=False),
        "all but habit": adaptive(replace(whole, habit=0)),
        "all but list tone": adaptive(replace(whole, list=0)),
        "all but drawn": adaptive(replace(whole, drawn=0)),
    }
    model = {
        "model": adaptive(replace(NONE, model=whole.model), model=True, words=False),
        "all and model": adaptive(whole, model=True),
    }
    return own | model if with_model else own


# --- figures -------------------------------------------------------------------------------------------------------


def row(group: str, name: str, policy: Policy, found: Sequence[Silence]) -> Row:
    """Figures of one policy. Silences of one speaker are one call."""
    speakers: dict[tuple[str, str], list[Silence]] = {}
    for s in found:
        speakers.setdefault((s.track.group, s.track.speaker), []).append(s)
    waits = np.array([wait for each in speakers.values() for wait in policy(each)], float)
    pauses = np.array([np.nan if s.pause_ms is None else s.pause_ms for each in speakers.values() for s in each])
    points = [point(waits, pauses, added) for added in SWEEP_MS]
    cut, latency = point(waits, pauses, 0)
    return Row(
        group, name, int(np.sum(~np.isnan(pauses))), int(np.sum(np.isnan(pauses))),
        _best((c, lat) for c, lat in points if lat <= 300), _best((c, lat) for c, lat in points if lat <= 600),
        _best((lat, c) for c, lat in points if c <= 0.05), _best((lat, c) for c, lat in points if c <= 0.10),
        cut, latency,
    )  # fmt: skip


def point(waits: npt.NDArray[np.float64], pauses: npt.NDArray[np.float64], added_ms: float) -> tuple[float, float]:
    """(share of pauses cut off, mean latency in ms) with `added_ms` on every wait. `pauses`: NaN for an end."""
    ends = np.isnan(pauses)
    bounded = np.clip(waits + added_ms, FLOOR_MS, MAX_WAIT_MS)
    cut = float(np.mean(bounded[~ends] < pauses[~ends])) if not ends.all() else 0.0
    return cut, float(np.mean(bounded[ends])) if ends.any() else 0.0


def _best(found: Iterable[tuple[float, float]]) -> float | None:
    return min(found, default=(None, None))[0]


def groups(found: Sequence[Silence]) -> Mapping[str, Sequence[Silence]]:
    """By kind of recording, and together: where a recogniser hears, where there is sound alone, and both. Reading
    aloud is left out of these: its recordings end at pauses, and even a neural model is at chance there."""
    own = {name: [s for s in found if s.track.group == name] for name in dict.fromkeys(s.track.group for s in found)}
    turns = [s for s in found if s.track.group != READ]
    together = {
        "with words": [s for s in turns if s.track.expectation.phrases],
        "sound alone": [s for s in turns if not s.track.expectation.phrases],
        "all turns": turns,
    }
    return own | {name: chosen for name, chosen in together.items() if chosen}


# --- weights -------------------------------------------------------------------------------------------------------


def fitting(s: Silence) -> bool:
    """Whether a silence belongs to the half of the speakers that weights are fitted on. Two groups never do: made
    numbers, for single digits in a row have no melody, and reading aloud, whose recordings end at a pause."""
    return s.track.group not in (MADE, READ) and zlib.crc32(s.track.speaker.encode()) % 2 == 0


def fit(found: Sequence[Silence]) -> tuple[Weights, Mapping[str, float]]:
    """Weights of the terms from the sound, by logistic regression with an intercept for each group, every group and
    kind counting alike; log-odds become ms by the mean time that pauses go on beyond the soonest decision. The
    second answer is a standard error for each weight. `habit` and `model` are not fitted."""
    used = [s for s in found if s.prosody]
    bare = np.array([s.track.expectation.bare for s in used])
    x = np.array([[list_tone(s.prosody), drawn(s.prosody)] for s in used]) * np.stack([bare, np.ones(len(used))], 1)
    over = np.array([s.pause_ms is None for s in used], float)
    groups = sorted({s.track.group for s in used})
    kinds = [(s.track.group, s.pause_ms is None) for s in used]
    weight = np.array([min(40, kinds.count(kind)) / kinds.count(kind) for kind in kinds])
    inputs = np.hstack([x, [[float(s.track.group == group) for group in groups] for s in used]])
    penalty = np.diag([PENALTY] * x.shape[1] + [0.01] * len(groups))
    beta, curve = np.zeros(inputs.shape[1]), penalty
    for _ in range(30):
        chance = 1 / (1 + np.exp(-inputs @ beta))
        slope = inputs.T @ (weight * (chance - over)) + penalty @ beta
        curve = (inputs * (weight * chance * (1 - chance))[:, None]).T @ inputs + penalty
        beta -= np.linalg.solve(curve, slope)
    errors = np.sqrt(np.diag(np.linalg.inv(curve)))
    beyond = np.array([max(0, s.pause_ms - FLOOR_MS) if s.pause_ms else np.nan for s in used])
    list_ms, drawn_ms = float(np.nanmean(beyond[bare])), float(np.nanmean(beyond))
    fitted = replace(Weights(), list=round(-beta[0] * list_ms), drawn=round(-beta[1] * drawn_ms))
    return fitted, {"list": round(errors[0] * list_ms), "drawn": round(errors[1] * drawn_ms)}


# --- the measurement -----------------------------------------------------------------------------------------------


async def gather(
    folder: Path,
    coffee: Dialplan,
    *,
    asr: str = "pocketsphinx",
    model: str = "",
    report: Callable[[str], None] = lambda said: None,
) -> list[Silence]:
    """Every silence with its evidence: sound, words by the recogniser where something is expected, and what an
    end-of-turn model at the path `model` says."""
    every = recordings(folder)
    vad = registry.load("vad", "silero").create(EngineConfig())
    second = registry.load("vad", "webrtc").create(EngineConfig())
    await vad.start()
    found: list[Silence] = []
    for track in tracks(every, coffee, vad):
        report(f"{track.group}: {track.part}")
        found += silences(track, vad, second)
    own = [s.pause_ms for s in found if s.track.group == "two-party" and s.pause_ms is not None]
    for track in dictated(every, own):
        found += silences(track, vad, second)
    if not found:
        raise UsageError(f"No recording in {folder} tells where turns end.")
    found = await _heard(found, asr, report)
    return await _judged(found, model, report) if model else found


async def _heard(found: Sequence[Silence], engine: str, report: Callable[[str], None]) -> list[Silence]:
    """With the words that the recogniser would give for what was said so far."""
    asr: Asr = registry.load("asr", engine).create(EngineConfig(options={"rate": RATE}))
    await asr.start()
    try:
        await asr.prepare(list({s.track.expectation for s in found if s.track.expectation.phrases}))
        answers: list[Silence] = []
        for s in found:
            report(f"words: {s.track.part}")
            known = not s.track.expectation.phrases
            text = s.text if known else (await hear(asr, s.track.expectation, s.turn_pcm)).text
            answers.append(replace(s, text=text))
        return answers
    finally:
        await asr.close()


async def _judged(found: Sequence[Silence], path: str, report: Callable[[str], None]) -> list[Silence]:
    options = {"model": path, "deadline_ms": MODEL_DEADLINE_MS}
    eot: Eot = registry.load("eot", "onnx").create(EngineConfig(options=options))
    await eot.start()
    try:
        answers: list[Silence] = []
        for s in found:
            report(f"model: {s.track.part}")
            answers.append(replace(s, model=await eot.judge(s.turn_pcm)))
        return answers
    finally:
        await eot.close()

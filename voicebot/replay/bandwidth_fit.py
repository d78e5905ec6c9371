"""Fitting the learnt bandwidth extension (`audio.envelope`) on wide-band recordings and telephone copies of them.

The network is judged by what a recogniser sees: the copy's mel cepstra with the told bands added, against those of the
recording, and how both change over 50 and 70 ms; each coefficient weighs as much as the acoustic model of pocketsphinx
is narrow there. Plain errors of the bands are a part of it, so that ears are served above 6.8 kHz, too.

Needs PyTorch. One thread, some minutes; the same weights for the same folder, seed and version of PyTorch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from voicebot.audio import envelope
from voicebot.audio.envelope import AHEAD, BEHIND, CONTEXT, FEATURES, HIGH_HZ, HOP, LOW_HZ, RATE_OUT, Float
from voicebot.errors import UsageError
from voicebot.replay import line_copies, mixing
from voicebot.replay.mixing import Sound
from voicebot.replay.spoken_tasks import Recording

MEL, MEL_HZ, CEPSTRA, LIFTER = 25, (130.0, 6800.0), 13, 22
"""Of pocketsphinx's en-us model (its feat.params)."""
NARROW = (
    (35, 21, 15, 12, 11, 10, 9, 9, 9, 9, 10, 10, 11),
    (42, 15, 12, 9, 8, 7, 7, 6, 6, 6, 7, 7, 7),
    (43, 15, 11, 8, 8, 7, 6, 6, 6, 6, 6, 5, 6),
)
"""1000 / median variance of the same model's cepstra, their changes, and the changes of those."""
STRETCH = 100
"""Looks of one example: a second."""
BATCH = 32
MOST_S = 30
"""Of one recording."""


@dataclass(frozen=True, slots=True)
class Recipe:
    copies: int = 4
    """Telephones for each recording."""
    epochs: int = 8
    hidden: int = 128
    seed: int = 1
    rate: float = 3e-3
    dropout: float = 0.0
    bands: float = 0.3
    """Weight of the plain errors of the bands."""


@dataclass(frozen=True, slots=True)
class Fitted:
    weights: Mapping[str, Float]
    minutes: float
    """Of speech, before it was copied."""
    speakers: int
    loss: float
    """On voices that it was not fitted on, by the recogniser's measure."""
    seconds: float


# --- examples -------------------------------------------------------------------------------------------------------


def looked(samples: Sound, rate: int) -> Float:
    """Powers [k, bins] of looks, 10 ms apart, of sound at 8 or 16 kHz."""
    times = rate // 8000
    padded = np.pad(samples, (BEHIND * times, (AHEAD + HOP) * times))
    window = np.hanning((BEHIND + AHEAD) * times + 2)[1:-1]
    framed = np.lib.stride_tricks.sliding_window_view(padded, (BEHIND + AHEAD) * times)[:: HOP * times]
    count = len(samples) // (HOP * times)
    spectrum = np.fft.rfft(framed[:count] * window, envelope.BINS * times, axis=1)
    return np.asarray((spectrum.real**2 + spectrum.imag**2) / (window**2).sum(), np.float32)


def mel_bank() -> Float:
    """[257, 25] triangles of the recogniser, each of area 2."""
    low, high = (2595 * np.log10(1 + hz / 700) for hz in MEL_HZ)
    edges = 700 * (10 ** (np.linspace(low, high, MEL + 2) / 2595) - 1)
    hz = np.fft.rfftfreq(2 * envelope.BINS, 1 / RATE_OUT)[:, None]
    rising, falling = (hz - edges[:-2]) / np.diff(edges)[:-1], (edges[2:] - hz) / np.diff(edges)[1:]
    area = (edges[2:] - edges[:-2]) / (RATE_OUT / (2 * envelope.BINS))
    return np.asarray(np.maximum(0, np.minimum(rising, falling)) * 2 / area, np.float32)


def examples(line: Sound, wide: Sound) -> Iterator[tuple[Float, ...]]:
    """Seconds of (low [S + 5, 24], floor [S], high bands [S, 9], mel of the recording [S, 25], mel of the copy
    [S, 25], what the copy has of the first two bands [S, 2])."""
    count = min(len(line), len(wide) // 2)
    line, wide = line[:count], wide[: 2 * count]
    plain = np.asarray(soxr.resample(line, 8000, RATE_OUT, quality="VHQ"), np.float32)
    power, original, narrow = looked(line, 8000), looked(wide, RATE_OUT), looked(np.resize(plain, 2 * count), RATE_OUT)
    low = np.log(power @ envelope.bands(LOW_HZ, 8000) + envelope.SILENCE)
    there = power @ envelope.bands(HIGH_HZ[:3], 8000)
    floor = envelope.floors(low.mean(axis=1), None)
    low = np.concatenate([np.repeat(low[:1], CONTEXT - 1, axis=0), low])
    high, mel = original @ envelope.bands(HIGH_HZ, RATE_OUT), mel_bank()
    every = (floor, high, original @ mel, narrow @ mel, there)
    for at in range(0, len(power) - STRETCH + 1, STRETCH):
        stretch = (each[at : at + STRETCH] for each in every)
        yield (low[at : at + STRETCH + CONTEXT - 1], *stretch)


def gathered(recordings: Sequence[Recording], copies: int, report: Callable[[str], None]) -> list[Float]:
    """Examples of all recordings, stacked: [examples, …] each."""
    found: list[tuple[Float, ...]] = []
    for at, recording in enumerate(recordings):
        wide = mixing.read(recording.file, RATE_OUT)[: MOST_S * RATE_OUT]
        for number in range(copies):
            found += examples(*line_copies.copy(wide, 1000 * number + at if number else 0))
        report(f"Listening to telephones: {at + 1} of {len(recordings)}")
    if not found:
        raise UsageError("There is no second of speech to fit on.")
    return [np.stack(each).astype(np.float32) for each in zip(*found, strict=True)]


# --- the network ------------------------------------------------------------------------------------------------------


def fit(
    speech: Sequence[Recording], unseen: Sequence[Recording], recipe: Recipe, report: Callable[[str], None]
) -> Fitted:
    """Weights for `audio.envelope.Weights`. `UsageError` without PyTorch or without speech."""
    try:
        import torch
    except ImportError:
        raise UsageError("Fitting needs PyTorch: pip install torch.") from None
    began = time.monotonic()
    torch.set_num_threads(1)
    torch.manual_seed(recipe.seed)
    ear = _Ear(torch, gathered(speech, recipe.copies, report), recipe)
    data = [torch.from_numpy(each) for each in ear.data]
    check = [torch.from_numpy(each) for each in gathered(unseen or speech[:1], 1, report)]
    steps = recipe.epochs * (len(data[0]) // BATCH + 1)
    optimiser = torch.optim.AdamW(ear.net.parameters(), recipe.rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.rate, total_steps=steps)
    loss = float("nan")
    for epoch in range(recipe.epochs):
        for chosen in torch.randperm(len(data[0])).split(BATCH):
            optimiser.zero_grad()
            ear.loss([each[chosen] for each in data], recipe.bands).backward()
            torch.nn.utils.clip_grad_norm_(ear.net.parameters(), 5.0)
            optimiser.step()
            schedule.step()
        with torch.no_grad():
            ear.net.eval()
            loss = float(ear.loss(check, 0.0))
            ear.net.train()
        report(f"Fitting: {epoch + 1} of {recipe.epochs}, {loss:.3f} on other voices")
    return Fitted(
        ear.weights(),
        sum(min(each.seconds, MOST_S) for each in speech) / 60,
        len({each.speaker or each.file.name for each in speech}),
        round(loss, 4),
        round(time.monotonic() - began),
    )


class _Ear:
    """The network, and what a recogniser makes of its answers."""

    def __init__(self, torch: Any, data: list[Float], recipe: Recipe) -> None:
        self._torch, self.data = torch, data
        nn, width, bands = torch.nn, recipe.hidden, len(HIGH_HZ) - 1
        layers = [nn.Linear(FEATURES, width), nn.Linear(width, width), nn.Linear(width, bands)]
        drop = nn.Dropout(recipe.dropout)
        self.net = nn.Sequential(layers[0], nn.ReLU(), drop, layers[1], nn.ReLU(), drop, layers[2])
        self._layers = layers
        low, floor, high = (torch.from_numpy(each) for each in data[:3])
        level = low[:, CONTEXT - 1 :].mean(-1, keepdim=True)
        seen, told = self._features(low, floor), torch.log(high + envelope.SILENCE) - level
        self._mean, self._spread = seen.mean((0, 1)), seen.std((0, 1)) + 1e-3
        self._told_mean, self._told_spread = told.mean((0, 1)), told.std((0, 1))
        self._narrow = [torch.tensor(each, dtype=torch.float32) / 1000 for each in NARROW]
        self._dct = torch.from_numpy(_cepstral())
        self._into_mel = torch.from_numpy(_band_to_mel())

    def _features(self, low: Any, floor: Any) -> Any:
        """As `envelope.features`, of stretches."""
        level = low[:, CONTEXT - 1 :].mean(-1, keepdim=True)
        count = floor.shape[1]
        windows = self._torch.cat([low[:, at : at + count] for at in range(CONTEXT)], -1)
        return self._torch.cat([windows - level, (level - floor[..., None]).clamp(0, envelope.FLOOR_SPAN)], -1)

    def loss(self, batch: Sequence[Any], bands: float) -> Any:
        torch = self._torch
        low, floor, high, mel, line, there = batch
        level = low[:, CONTEXT - 1 :].mean(-1, keepdim=True)
        told = self.net((self._features(low, floor) - self._mean) / self._spread) * self._told_spread + self._told_mean
        weight = ((level + 16) / 8).clamp(0.05, 1.0)  # silence counts little
        power = torch.exp((told + level).clamp(-21, 0))
        power = torch.cat([torch.relu(power[..., :2] - there), power[..., 2:]], -1)
        error = (self._cepstra(line + power @ self._into_mel) - self._cepstra(mel)) * weight**0.5
        change = error[:, 4:] - error[:, :-4]
        turn = (error[:, 6:] - error[:, 2:-4]) - (error[:, 4:-2] - error[:, :-6])
        seen = sum(((e**2) @ n).mean() for e, n in zip((error, change, turn), self._narrow, strict=True))
        off = (told - torch.log(high + envelope.SILENCE) + level) / self._told_spread
        return 0.1 * seen + bands * (off**2 * weight).mean()

    def _cepstra(self, mel: Any) -> Any:
        return self._torch.log(mel + 3e-8) @ self._dct

    def weights(self) -> dict[str, Float]:
        """With what normalises the input and the output in the first and the last layer."""
        arrays = [[each.detach().numpy() for each in (layer.weight.T, layer.bias)] for layer in self._layers]
        (w1, b1), (w2, b2), (w3, b3) = arrays
        mean, spread = self._mean.numpy(), self._spread.numpy()
        w1 = w1 / spread[:, None]
        told_mean, told_spread = self._told_mean.numpy(), self._told_spread.numpy()
        named = {"w1": w1, "b1": b1 - mean @ w1, "w2": w2, "b2": b2, "w3": w3 * told_spread}
        return {**named, "b3": b3 * told_spread + told_mean}


def _cepstral() -> Float:
    """[25, 13]: the cosine transform, liftered as pocketsphinx does."""
    at, order = np.arange(MEL)[:, None] + 0.5, np.arange(CEPSTRA)
    cosines = np.cos(np.pi * order * at / MEL) * np.sqrt(np.where(order == 0, 1, 2) / MEL)
    return np.asarray(cosines * (1 + LIFTER / 2 * np.sin(np.pi * order / LIFTER)), np.float32)


def _band_to_mel() -> npt.NDArray[np.float32]:
    """[9, 25]: what a power density of 1 in a band adds to each mel band."""
    inside = envelope.bands(HIGH_HZ, RATE_OUT)
    return np.asarray((inside > 0).astype(np.float32).T @ mel_bank(), np.float32)

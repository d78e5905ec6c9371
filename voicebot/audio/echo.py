"""Whether a voice on the line is the caller's, or our own that comes back through a loudspeaker.

We know what we played. A frame of caller audio is our echo when what was played, sent through the echo path learned
so far (`echo_path`), explains it. What the path leaves unexplained is judged in bands: an echo that the path cannot
cancel, because a loudspeaker clips or a delay drifts, still lies where the path expects its power; a caller's voice
soon has power where the echo has none.

The delay is found by correlation (`echo_delay`), and found anew for each stretch of playing: where the carrier's
marks put it may be wrong by 100 ms. Whoever is heard without any match is the caller: when in doubt the bot listens.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from math import log10

import numpy as np

from voicebot.audio import echo_delay, echo_path
from voicebot.audio.echo_delay import EARLIEST, LATEST, SEARCHED, Delay, FarEnd, Sound
from voicebot.audio.echo_path import PARTITIONS, EchoPath, Power
from voicebot.audio.echo_residual import NOISE_RISES, Residual, bands, power_of
from voicebot.audio.frames import FRAME_BYTES, FRAME_SAMPLES, RATE
from voicebot.audio.levels import peak_dbfs
from voicebot.audio.voice import EnergyGate

AUDIBLE_DBFS = -50.0
"""Peak of far-end audio that can be heard again at all."""
FADED = RATE // 4
"""Samples after the latest echo of what was played in which a room falls silent."""
STRETCHES = 16
"""Stretches of playing remembered before they are heard; of more, the oldest go: the next then keep their delay."""
PAUSE = RATE * 300 // 1000
"""A longer silence of the far end ends a stretch; the next may be placed differently."""
LEAD = 40
"""Samples that the path begins before the delay found: delays shrink, too."""

STRONG, CLEAR, LIKE, WEAK = 14.0, 1.5, 0.3, 9.0
"""A match is an echo when its peak is `STRONG` and `CLEAR` times its rival, and the sounds are `LIKE`; with a peak
below `WEAK` it is none."""
FIRST_SEARCH, NO_ECHO, GIVE_UP = 3, 5, 12
"""Voiced frames of a stretch: before the first search; after which no match at all means no echo; after which a
doubtful one does."""
SPARSE = 8
"""Frames of quiet after which, on a line without a known echo, a voice begins anew."""
SEARCH_AGAIN = ((GIVE_UP, 2), (50, 4))
"""Until so many voiced frames of a stretch, and while the path explains too little: every so many; …"""
SEARCH_SELDOM = 15
"""… and later."""
TRAINING, PASSES = 8, 3
"""Frames that a new path learns from, and how often."""
RACE = 4
"""Frames after which a new path replaces the old one, if it explains more."""

OWN, THEIRS, TIMES, AT_MOST = 0.25, 0.2, 3.0, 0.65
"""Unexplained share of power below which a voice becomes our echo; and above which it is no more: the second and
`TIMES` what the line usually leaves (a loudspeaker clips, a room is noisy), up to the last."""
UP, DOWN = 0.004, 0.001
"""Steps, for each frame, towards what a line usually leaves: four of five frames of echo leave less."""
CANCELLED = 0.75
"""A path that leaves more than this share, over half a second, proves nothing, unless the delay was just found."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """About the voice in the frames heard last, if there is one: whether there is, a voice detector says."""

    own: bool
    """Our own echo, and nothing else."""
    sure: bool
    """False while a match may still be found: after at most 250 ms of voice it is True."""
    delay_ms: int | None = None
    """None: no echo was found."""
    echo_db: float = 0.0
    """Echo expected over what was played."""
    left_db: float = 0.0
    """Power that the echo does not explain, over all power."""


CALLER = Verdict(own=False, sure=True)


class EchoGuard:
    """One call. Positions are media-clock samples, 0 at its start; audio is int16 LE at 8 kHz.

    `played` must be told before the echo arrives: when audio is sent, at the place where it is going to be played.
    Told late, or not at all, it explains nothing, and the voice is the caller's.
    """

    def __init__(self) -> None:
        self.searches = 0
        """How often a delay was looked for: the guard's dearest step."""
        self._far = FarEnd()
        self._until: int | None = None  # end of what is audible of the far end
        self._stretches: deque[int] = deque(maxlen=STRETCHES)  # where those begin that were not heard yet
        self._best: Residual | None = None
        self._rival: Residual | None = None
        self._gate = EnergyGate()
        self._now = 0  # end of the caller's audio
        self._odd = b""
        self._found: Delay | None = None
        self._forget()

    def played(self, pcm: bytes, at: int) -> None:
        """The far end plays this from `at` on. It may be told ahead, and again."""
        pcm = pcm[: len(pcm) // 2 * 2]
        samples = np.frombuffer(pcm, "<i2")
        self._far.put(samples, at, self._now)
        if peak_dbfs(pcm) < AUDIBLE_DBFS:
            return
        if self._until is None or at - self._until > PAUSE:
            self._stretches.append(at)
        self._until = max(self._until or 0, at + len(samples))

    def silenced(self, at: int) -> None:
        """What was told for positions from `at` on is not played after all: the carrier cleared it."""
        self._far.silence(at)
        if self._until is not None:
            self._until = min(self._until, at)

    def heard(self, pcm: bytes, at: int) -> Verdict:
        """The verdict after this caller audio. Costs nothing while the far end is silent."""
        follows, self._now = at == self._now, at + len(pcm) // 2
        if self._until is None or at > self._until + LATEST + FADED:
            if self._kept:
                self._forget()
            return CALLER
        if not follows:
            self._forget()
        self._odd += pcm
        while len(self._odd) >= FRAME_BYTES:
            frame, self._odd = self._odd[:FRAME_BYTES], self._odd[FRAME_BYTES:]
            self._hear(frame, self._now - len(self._odd) // 2 - FRAME_SAMPLES)
        return self._verdict

    # --- one frame

    def _forget(self) -> None:
        """What was heard last does not belong to what comes next."""
        self._odd = b""
        self._near = bytes(2 * (SEARCHED + 1))
        self._kept: deque[tuple[int, Sound]] = deque(maxlen=TRAINING)
        self._noise: Power | None = None
        self._rival = None
        self._begin()

    def _begin(self) -> None:
        """A stretch of playing begins: no echo of it was found yet."""
        self._voiced = self._quiet = 0
        self._matched = False
        self._found = None
        self._verdict = Verdict(own=False, sure=False)

    def _hear(self, frame: bytes, at: int) -> None:
        if self._stretches and at >= self._stretches[0] + EARLIEST:
            self._stretches.popleft()
            self._begin()
        self._near = self._near[FRAME_BYTES:] + frame
        if not self._gate.open(frame):
            self._quiet += 1
            if self._quiet > SPARSE and self._best is None:
                self._voiced = 0
            if self._verdict.sure:
                self._verdict = replace(self._verdict, sure=False)
            return
        self._voiced, self._quiet = self._voiced + 1, 0
        near = self._heard_last(FRAME_SAMPLES)
        self._kept.append((at, near))
        power = bands(power_of(echo_path.near_spectrum(near)))
        self._noise = (
            power if self._noise is None else np.minimum(0.5 * (self._noise + power), self._noise * NOISE_RISES)
        )
        for judged in (self._best, self._rival):
            if judged:
                judged.hear(self._played(at, judged.delay), at, near, power, self._noise)
        self._race()
        if self._must_search():
            self._search(at)
        self._verdict = self._judge()

    def _heard_last(self, samples: int) -> Sound:
        """The caller's latest audio, emphasised."""
        kept = np.frombuffer(self._near[-2 * (samples + 1) :], "<i2")
        return echo_delay.emphasised(kept.astype(np.float32) / echo_delay.FULL)

    def _played(self, at: int, delay: int) -> Sound:
        """What the path at `delay` needs of the far end for the frame at `at`."""
        start = at - delay + LEAD - PARTITIONS * FRAME_SAMPLES
        return echo_delay.emphasised(self._far.get(start - 1, (PARTITIONS + 1) * FRAME_SAMPLES + 1))

    # --- delay and path

    def _must_search(self) -> bool:
        if self._rival or self._voiced < FIRST_SEARCH:
            return False
        if self._best and self._best.frames > 1 and self._best.unexplained < OWN:
            return False
        every = next((every for until, every in SEARCH_AGAIN if self._voiced < until), SEARCH_SELDOM)
        return (self._voiced - FIRST_SEARCH) % every == 0

    def _search(self, at: int) -> None:
        self.searches += 1
        end = at + FRAME_SAMPLES
        voiced = min(SEARCHED, self._voiced * FRAME_SAMPLES)
        near = self._heard_last(voiced)
        start = end - voiced - LATEST
        far = echo_delay.emphasised(self._far.get(start - 1, voiced + LATEST - EARLIEST + 1))
        self._found = found = echo_delay.search(near, far)
        if found.peak >= STRONG and found.peak >= CLEAR * found.rival and found.like >= LIKE:
            self._matched = True
            new = self._learned(found.samples)
            if self._best is None:
                self._best = new
            else:
                self._rival = new

    def _learned(self, delay: int) -> Residual:
        """A path that has learned from the last frames at this delay."""
        frames = [(echo_path.spectra(self._played(at, delay)), near) for at, near in self._kept]
        powers = [power_of(echo_path.near_spectrum(near)) for _, near in frames]
        background = np.mean(powers, axis=0)
        played = float(np.mean([power_of(far[0]).sum() for far, _ in frames]))
        path = EchoPath(played, 2 * float(background.sum()), background)
        for _ in range(PASSES):
            for far, near in frames:
                path.step(far, near)
        return Residual(delay, path)

    def _race(self) -> None:
        """A new path beside the old one: after a few frames the better one stays."""
        if self._rival is None or self._best is None or self._rival.frames < RACE:
            return
        if self._rival.unexplained < 0.8 * self._best.unexplained:
            self._rival.usual = self._best.usual
            self._best = self._rival
        self._rival = None

    def _judge(self) -> Verdict:
        best = self._best
        if best is None:
            return Verdict(own=False, sure=self._in_time())
        if best.frames < 2:
            return Verdict(own=False, sure=False, delay_ms=best.delay * 1000 // RATE)
        left = best.unexplained
        limit = min(AT_MOST, THEIRS + TIMES * best.usual) if self._verdict.own else OWN + best.usual
        own = (self._matched or best.uncancelled < CANCELLED) and left < limit
        if own:
            best.usual = max(0.0, best.usual + (UP if left > best.usual else -DOWN))
        sure = own or self._in_time()
        return Verdict(own, sure, best.delay * 1000 // RATE, best.echo_db, 10 * log10(left + 1e-4))

    def _in_time(self) -> bool:
        """Whether a stretch of playing has gone on for long enough to say that a voice is no echo of it."""
        if self._voiced >= GIVE_UP:
            return True
        unmatched = self._found is not None and self._found.peak < WEAK
        return self._best is None and unmatched and self._voiced >= NO_ECHO

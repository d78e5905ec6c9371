"""From the voice detector's onsets, those that are the caller's: our own echo never begins one.

A voice that is own echo is kept back, however long it goes on; when the caller begins to speak inside it, that is the
onset. A voice about which nothing is known yet waits until the guard knows, which it does in time by itself.
"""

from __future__ import annotations

from voicebot.audio.echo import EchoGuard, Verdict
from voicebot.audio.frames import RATE
from voicebot.audio.voice import Offset, Onset

BACK = RATE * 60 // 1000
"""The guard needs this long to notice a voice inside our echo: the onset is dated back by it."""
LASTS = 4
"""Where there is an echo, frames in a row that must be another voice: what clips and drifts is unlike it for less."""
PATIENCE = 15
"""Where no echo is known, frames about which the guard says nothing, for they are soft, after which the voice is let
through all the same."""
END = RATE * 200 // 1000
"""Own echo for this long, while the detector still hears a voice: the caller has stopped."""


class CallerVoice:
    """One call. `guard` is told elsewhere what was played."""

    def __init__(self, guard: EchoGuard) -> None:
        self._guard = guard
        self._voice: int | None = None  # where the detector's voice began
        self.theirs = False
        """Whether the detector's current voice is the caller's, as far as is known."""
        self._echo_from: int | None = None
        self._other = self._waited = 0  # frames in a row that were not our echo; of which nothing is known
        self.verdict = Verdict(own=False, sure=True)
        """Of the frame before."""
        self.kept_back = 0
        """Voices that ended without an onset, for the metrics."""

    def push(self, pcm: bytes, at: int, found: Onset | Offset | None) -> Onset | Offset | None:
        """One frame at sample `at`, and what the detector found in it; what is to be believed of it."""
        self.verdict = verdict = self._guard.heard(pcm, at)
        end = at + len(pcm) // 2
        match found:
            case Onset(began):
                self._voice, self._other, self._waited = began, 0, 0
            case Offset():
                was, self.theirs, self._voice = self.theirs, False, None
                self.kept_back += not was
                return found if was else None
            case None:
                pass
        if self._voice is None:
            return None
        return self._go_on(verdict, end) if self.theirs else self._begin(verdict, end)

    def _begin(self, verdict: Verdict, end: int) -> Onset | None:
        if verdict.own and verdict.sure:
            self._voice = max(self._voice or 0, end - BACK)  # what begins from here on is another voice
            self._other = self._waited = 0
        elif verdict.sure:
            self._other += 1
        elif verdict.delay_ms is None:
            self._waited += 1
        if self._other >= (LASTS if verdict.delay_ms is not None else 1) or self._waited >= PATIENCE:
            self.theirs, self._echo_from = True, None
            return Onset(self._voice or 0)
        return None

    def _go_on(self, verdict: Verdict, end: int) -> Offset | None:
        if not verdict.own:
            self._echo_from = None
            return None
        if self._echo_from is None:
            self._echo_from = end
        if end - self._echo_from < END:
            return None
        self.theirs = False
        self._voice, self._other, self._waited = end, 0, 0
        return Offset(self._echo_from)

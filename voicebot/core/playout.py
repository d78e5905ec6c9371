"""The playout ledger: which bot audio was queued, sent, and truly heard, to the sample and the word.

One coordinate runs through a call: every queued sample of bot audio has a *position*, counted from the
start of the call. Three watermarks move along it:

    heard ≤ sent ≤ queued

* `due` hands out audio to send, so that the far end holds about `lead_ms` of it, never more than needed.
* `acknowledge` moves *heard*, and returns the audio that was heard, for the recording.
* `settle` moves *heard* from the last mark to where playout must be now: marks are up to a chunk and a round trip
  old, and both the audio and the `clear` that follows take the same way, so the sender's own schedule tells the
  place, corrected by how late marks come just now.
* `hold` is what precedes a carrier's `clear`: a new epoch begins at *heard*, and what was sent but not heard
  waits to be sent again. Marks of older epochs that still come back mean *dropped*: they move nothing.
* `drop` throws the unheard rest away.

Text rides along: each word has the position where it starts, and is *heard* when the next one starts (or its
audio ends) at or before the heard watermark. So heard text is never more than was played, cut at the word.

Pure: time comes in as `now_ms` (any monotonic millisecond clock, the same for all calls).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

BYTES = 2
PER_MS = 8
SAYING_MS = 65
"""One letter of speech."""
LATEST_MARKS = 32
"""Marks whose delay is remembered; the least of them is the way there and back."""
LOST_MARK_MS, LATE_MARK_MS = 1000, 400
"""A mark this late is taken for lost, and its audio for heard: Twilio promises marks, networks do not. The second,
beyond what is usual, where marks are known to come."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Audio to send now."""

    pcm: bytes
    epoch: int
    sample: int
    """Samples sent in this epoch, these included: the carrier's mark for this chunk."""


@dataclass(frozen=True, slots=True)
class HeardAudio:
    """Audio that an acknowledgement newly covers."""

    pcm: bytes
    turns: tuple[int, ...]
    """Turns whose first sample is among it."""


NOTHING = HeardAudio(b"", ())


@dataclass(slots=True)
class _Piece:
    """A stretch of queued audio, kept until it is heard or dropped."""

    start: int
    pcm: bytes
    turn: int
    interruptible: bool

    @property
    def end(self) -> int:
        return self.start + len(self.pcm) // BYTES


@dataclass(slots=True)
class _Script:
    """The words of one turn and where they start; `end` is where its audio ends so far."""

    start: int
    end: int
    words: list[tuple[int, str]] = field(default_factory=list)


class Ledger:
    """8 kHz, int16 LE mono; all positions in samples."""

    def __init__(self, lead_ms: int = 200, chunk_ms: int = 80) -> None:
        self.lead_ms, self.chunk_samples = lead_ms, chunk_ms * PER_MS
        self.epoch = 0
        self.queued = self.sent = self.heard = 0
        self.lost_marks = 0
        self._base = 0  # position at which the current epoch began
        self._pieces: deque[_Piece] = deque()
        self._scripts: dict[int, _Script] = {}
        self._runs_out_ms = 0.0  # when the far end will have played all that was sent
        self._expected: deque[tuple[int, float]] = deque()  # (position, when it should be played), not yet marked
        self._late_ms: deque[float] = deque(maxlen=LATEST_MARKS)  # of the last marks
        self._held = False

    # --- queueing

    def queue(self, turn: int, pcm: bytes, words: Iterable[tuple[int, str]] = (), interruptible: bool = True) -> None:
        """Append audio of `turn`; `words` are (sample from the start of `pcm`, text). An odd last byte is dropped."""
        pcm = pcm[: len(pcm) // BYTES * BYTES]
        start = self.queued
        script = self._scripts.setdefault(turn, _Script(start, start))
        script.words.extend((start + at, text) for at, text in words)
        if pcm:
            self._pieces.append(_Piece(start, pcm, turn, interruptible))
            self.queued += len(pcm) // BYTES
            script.end = self.queued

    @property
    def empty(self) -> bool:
        """Whether everything queued was heard."""
        return self.heard >= self.queued

    @property
    def held(self) -> bool:
        return self._held

    def unheard_ms(self) -> int:
        """Milliseconds queued or sent and not yet heard."""
        return (self.queued - self.heard) // PER_MS

    def interruptible(self) -> bool:
        """Whether what plays now may be interrupted."""
        return self._pieces[0].interruptible if self._pieces else True

    # --- sending

    @property
    def waits(self) -> bool:
        """Whether anything is to be sent, now or later."""
        return self.sent < self.queued and not self._held

    def due(self, now_ms: float, ahead_ms: int = 0) -> list[Chunk]:
        """What must be sent now to keep the far end `lead_ms` ahead for another `ahead_ms`; nothing while held."""
        chunks: list[Chunk] = []
        if self._held:
            return chunks
        while self.sent < self.queued and self._runs_out_ms - now_ms < self.lead_ms + ahead_ms:
            pcm = self._slice(self.sent, min(self.sent + self.chunk_samples, self.queued))
            self.sent += len(pcm) // BYTES
            self._runs_out_ms = max(self._runs_out_ms, now_ms) + len(pcm) / BYTES / PER_MS
            self._expected.append((self.sent, self._runs_out_ms))
            chunks.append(Chunk(pcm, self.epoch, self.sent - self._base))
        return chunks

    def _slice(self, start: int, end: int) -> bytes:
        parts = []
        for piece in self._pieces:
            if piece.start >= end:
                break
            if piece.end > start:
                low, high = max(start, piece.start), min(end, piece.end)
                parts.append(piece.pcm[(low - piece.start) * BYTES : (high - piece.start) * BYTES])
        return b"".join(parts)

    # --- hearing

    def acknowledge(self, epoch: int, sample: int, now_ms: float) -> HeardAudio:
        """The far end played up to `sample` of `epoch`. Old epochs, and samples never sent, move nothing."""
        position = self._base + sample
        if epoch != self.epoch or position > self.sent:
            return NOTHING
        while self._expected and self._expected[0][0] <= position:
            due_ms = self._expected.popleft()[1]
            self._late_ms.append(now_ms - due_ms)
        return self._hear(position)

    def settle(self, now_ms: float) -> HeardAudio:
        """What must have been played by now beyond the last mark; nothing before the first mark ever came."""
        if self._held or not self._late_ms:
            return NOTHING
        usual_ms = min(self._late_ms)
        overdue_ms = now_ms - self._expected[0][1] - usual_ms if self._expected else 0.0
        behind_ms = max(self._late_ms[-1] - usual_ms, overdue_ms, 0.0)
        ahead_ms = max(0.0, self._runs_out_ms - now_ms)
        return self._hear(min(self.sent, self.sent - round((ahead_ms + behind_ms) * PER_MS)))

    def overdue(self, now_ms: float) -> HeardAudio:
        """Audio whose mark is lost counts as heard."""
        if self.sent <= self.heard or now_ms <= self._runs_out_ms:
            return NOTHING
        most_ms = min(LOST_MARK_MS, min(self._late_ms) + LATE_MARK_MS) if self._late_ms else LOST_MARK_MS
        if now_ms - self._runs_out_ms > most_ms:
            self.lost_marks += 1
            return self._hear(self.sent)
        return NOTHING

    def _hear(self, position: int) -> HeardAudio:
        if position <= self.heard:
            return NOTHING
        pcm = self._slice(self.heard, position)
        begun = tuple(t for t, s in self._scripts.items() if self.heard <= s.start < position and s.end > s.start)
        self.heard = position
        while self._pieces and self._pieces[0].end <= position:
            self._pieces.popleft()
        return HeardAudio(pcm, begun)

    # --- interruption

    def hold(self) -> bool:
        """Stop sending and open a new epoch; the caller of this sends the carrier's `clear` when True."""
        was_sending = self.sent > self.heard
        self._held = True
        self._new_epoch()
        return was_sending

    def resume(self) -> None:
        """Go on from the exact sample heard last."""
        self._held = False

    def drop(self) -> None:
        """Throw away what was not heard. Sending may go on at once with new audio."""
        self._new_epoch()
        self._pieces.clear()
        self.queued = self.sent = self._base = self.heard
        for script in self._scripts.values():
            script.words = [word for word, end in _ends(script) if end <= self.heard]
            script.end = min(script.end, self.heard)
        self._held = False

    def _new_epoch(self) -> None:
        self.epoch += 1
        self._base = self.sent = self.heard
        self._runs_out_ms = 0.0
        self._expected.clear()

    # --- text

    def words(self, turn: int) -> int:
        """How many words of `turn` have their place."""
        script = self._scripts.get(turn)
        return len(script.words) if script else 0

    def place(self, turn: int, where: slice, words: Iterable[tuple[int, str]]) -> None:
        """At this place among the words of `turn` are these: (position, text). For audio whose words are known only by
        and by; their audio was queued before."""
        if (script := self._scripts.get(turn)) is not None:
            script.words[where] = words

    def heard_text(self, turn: int) -> str:
        """The words of `turn` that were played to their end, as they stand in the reply."""
        script = self._scripts.get(turn)
        if script is None:
            return ""
        return "".join(text for (_, text), end in _ends(script) if end <= self.heard).strip()

    def forget(self, turn: int) -> None:
        """The turn is committed; its words are no longer needed."""
        self._scripts.pop(turn, None)


def _ends(script: _Script) -> list[tuple[tuple[int, str], int]]:
    """Each word with the position where it ends: where the next begins, or the audio ends."""
    ends = [at for at, _ in script.words[1:]] + [script.end]
    return list(zip(script.words, ends, strict=True)) if script.words else []


def spread(text: str, samples: int, more: bool) -> list[tuple[int, int, str]]:
    """(start, end, word) of `text` over its audio, by length. While there may be `more` audio of it to come, it is
    taken to be as long as people take to say it, at least: text often runs ahead of its audio."""
    words = [w + " " for w in text.split()]
    total = sum(len(w) for w in words) or 1
    if more:
        samples = max(samples, total * SAYING_MS * PER_MS)
    placed, before = [], 0
    for word in words:
        placed.append((samples * before // total, samples * (before + len(word)) // total, word))
        before += len(word)
    return placed


def align(text: str, samples: int) -> list[tuple[int, str]]:
    """Words of `text` spread over `samples` by length, for engines that give no word times."""
    return [(start, word) for start, _, word in spread(text, samples, more=False)]

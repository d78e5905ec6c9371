"""The ear of a call: caller audio in; the caller's voice and words out, and how they were said.

Every frame goes through voice activity detection at 8 kHz; what the detector finds must not be our own echo, nor
background. The recogniser listens only while somebody speaks, from a little before the onset; the resampler in front
of it runs only while it listens.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from voicebot.audio.caller_voice import CallerVoice
from voicebot.audio.echo import EchoGuard
from voicebot.audio.fax import FaxTones
from voicebot.audio.foreground import Foreground
from voicebot.audio.gaps import Gaps
from voicebot.audio.prosody import Intonation, Prosody
from voicebot.audio.resample import Resampler
from voicebot.audio.tone import Tone, Tones
from voicebot.audio.voice import Offset, Onset
from voicebot.carriers.base import FRAME_BYTES, FRAME_SAMPLES, RATE, Audio
from voicebot.core.expect import Expectation
from voicebot.core.words import Words
from voicebot.engines.base import AsrSession, Ears, Vad, Voice, VoiceStarted, VoiceStopped

PREROLL_SAMPLES = RATE * 300 // 1000
"""Audio before the onset that the recogniser hears too: soft first consonants lie there."""
FAX_SAMPLES = RATE * 60
"""A machine that calls says so in the first minute."""
KEPT_FRAMES = 400
"""Frames kept: for the pre-roll of an onset that is decided late, and the 8 s that a model of turn ends wants."""


def _frames(audio: Audio) -> Sequence[Audio]:
    """20 ms each, the last one perhaps less. Nearly always it is one as it comes."""
    if len(audio.pcm) == FRAME_BYTES:
        return (audio,)
    starts = range(0, len(audio.pcm) // 2, FRAME_SAMPLES)
    cut = (audio.pcm[at * 2 : (at + FRAME_SAMPLES) * 2] for at in starts)
    return [Audio(pcm, audio.at + at, audio.concealed) for pcm, at in zip(cut, starts, strict=True)]


class Ear:
    """One per call. `on_words(words)` is called for every hypothesis of the utterance that is open now, never for
    one that was closed; `on_voices(voices)` for every frame, in order: the caller's voice, as it begins and ends.
    `guard` is told by the playback what the far end plays."""

    def __init__(
        self,
        vad: Vad,
        asr: Ears,
        guard: EchoGuard,
        group: asyncio.TaskGroup,
        on_words: Callable[[Words], None],
        on_voices: Callable[[Sequence[Voice]], None],
        gaps: bool = True,
    ) -> None:
        self._vad, self._asr, self._group = vad.open(), asr, group
        self._on_words, self._on_voices = on_words, on_voices
        self._unjudged: deque[tuple[Audio, bool]] = deque()
        """Frames, and whether they are over the bot. The detector is asked about the first."""
        self._asks = False
        self._caller, self._foreground, self._tones = CallerVoice(guard), Foreground(), Tones()
        self._intonation = Intonation(self._tones.push)
        self._fax = FaxTones()
        self.machine_calls = False
        """Whether what is on the line is a fax or a modem."""
        self._kept: deque[Audio] = deque(maxlen=KEPT_FRAMES)
        self._utterance: AsrSession | None = None
        self._resampler = Resampler(RATE, asr.rate) if asr.rate != RATE else None
        self._gaps = Gaps() if gaps else None
        self.onset = 0
        """Media-clock sample at which the caller's last voice began."""

    @property
    def speech_ms(self) -> int:
        """How much of the caller's current voice was speech; 0 between voices."""
        return self._foreground.speech_ms

    @property
    def stands_out(self) -> bool:
        """Whether the caller's voice, the current or the last one, is clearly in front of all else."""
        return self._foreground.stands_out

    def hear(self, audio: Audio, over_bot: bool) -> None:
        """One stretch of caller audio, split into 20 ms frames for the detector. `over_bot`: the bot speaks, or holds
        what it has to say."""
        for frame in _frames(audio):
            self._kept.append(frame)
            if frame.at < FAX_SAMPLES and self._fax.push(frame.pcm):
                self.machine_calls = True
            self._push(frame)
            self._unjudged.append((frame, over_bot))
            if len(self._unjudged) == 1:
                self._ask()

    def _ask(self) -> None:
        """Have the frames judged, until there is none, or one is answered later."""
        self._asks = True
        waiting = 0
        while self._unjudged and len(self._unjudged) != waiting:
            frame, waiting = self._unjudged[0][0], len(self._unjudged)
            self._vad.ask(frame.pcm, frame.at, self._judged)
        self._asks = False

    def _judged(self, detected: Sequence[Voice]) -> None:
        """What the detector found in the first of the frames that wait."""
        frame, over_bot = self._unjudged.popleft()
        found: Sequence[Voice] = ()
        match self._edge(frame, over_bot, detected):
            case Onset(at):
                self.onset = at
                found = (VoiceStarted(at),)
            case Offset(at):
                found = (VoiceStopped(at),)
            case None:
                pass
        if self._foreground.voice:
            self._intonation.push(frame.pcm, frame.at)
        self._on_voices(found)
        if not self._asks:
            self._ask()

    def _edge(self, frame: Audio, over_bot: bool, voices: Sequence[Voice]) -> Onset | Offset | None:
        """The detector's word, the echo guard's, and whether it stands out, in this order."""
        detected: Onset | Offset | None = None
        for voice in voices:
            detected = Onset(voice.at) if isinstance(voice, VoiceStarted) else Offset(voice.at)
        caller = self._caller
        caller.push(frame.pcm, frame.at, detected)
        own = caller.verdict.own
        return self._foreground.push(frame.pcm, frame.at, self._vad.speech, caller.theirs, over_bot, own)

    def ending(self) -> Prosody | None:
        """How the voice ended, for the turn so far."""
        return self._intonation.summary()

    def tone(self) -> Tone | None:
        """How the turn so far was said."""
        self._intonation.settle()
        return self._tones.tone()

    def turn_taken(self) -> None:
        """What comes next belongs to another turn."""
        self._intonation.begin()
        self._tones.taken()

    def lately(self) -> bytes:
        """The caller's audio of the last seconds, since a little before the turn's last onset at least."""
        return b"".join(frame.pcm for frame in self._kept)

    def nobody(self) -> None:
        """The voice over the bot wanted nothing."""
        self._foreground.nobody()

    def open(self, expectation: Expectation) -> None:
        """Start recognising, from a little before the last onset."""
        self.close()
        utterance = self._utterance = self._asr.open(expectation)
        if self._resampler:
            self._resampler.reset()
        if self._gaps:
            self._gaps.reset()
        for frame in self._kept:
            if frame.at + len(frame.pcm) // 2 > self.onset - PREROLL_SAMPLES:
                self._push(frame)
        self._group.create_task(self._listen(utterance))

    def finish(self) -> None:
        """No more audio for this utterance; its final words follow."""
        if self._utterance:
            self._utterance.finish()

    def leave(self) -> None:
        """The call is over."""
        self._vad.close()

    def close(self) -> None:
        """Nobody wants the words any more."""
        if self._utterance:
            self._utterance.cancel()
            self._utterance = None

    def _push(self, frame: Audio) -> None:
        if self._utterance:
            pcm = self._gaps.push(frame.pcm, frame.concealed) if self._gaps else frame.pcm
            self._utterance.push(self._resampler.push(pcm) if self._resampler else pcm)

    async def _listen(self, utterance: AsrSession) -> None:
        async for words in utterance.words():
            if utterance is self._utterance:
                self._on_words(words)

"""One utterance through pocketsphinx, a piece at a time.

Three things decide how much a recogniser trained on wide-band speech understands of a telephone line:

* **The empty top half.** Its features look at 130-6800 Hz; a telephone ends at 4 kHz. Plain upsampling leaves
  silence above, which no training speaker ever produced. `audio.bandwidth` puts there what was there, as far as that
  can be told from the band below.
* **The cepstral mean.** pocketsphinx subtracts a mean which, live, stays fixed for the first eight seconds after
  it was set, and then is that of the last caller. We set it for every utterance to the same one, so that calls do
  not colour one another and a replay gives the same words. Its shape is that of recordings of LibriSpeech through
  μ-law and what extends them; the one that comes with pocketsphinx knows three coefficients of thirteen. Taking the
  mean from the utterance itself was tried, over all of it and over its speech only: no better for orders, far worse
  for single digits and letters.
* **The second pass** (`fwdflat`) is left out: it takes 100 ms after the caller stopped, and gains nothing here.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from voicebot.core.words import Word, Words
from voicebot.engines.bandwidth import Mode, extender
from voicebot.engines.pocketsphinx_model import Model

RATE = 16_000
"""What the acoustic model was trained on."""
FRAME_MS = 10
NBEST = 8
UNFINISHED = 0.25
"""Confidence in what stops in the middle of a grammar."""
NBEST_S = 0.01

_VARIANT = re.compile(r"\(\d+\)$")


EXTENDED = "42,1.9,-0.5,6.2,2.6,-6.4,-1.6,-7.8,-3.2,1.5,-6.8,3.5,-0.7"
MEANS: dict[Mode, str] = {
    "off": "42,25.5,-35.4,39.7,-18.4,-1.7,9.5,-26.6,17.6,-12.6,-1.3,8.3,-14.1",
    "classical": EXTENDED,
    "neural": EXTENDED,
}
"""An empty top half has a mean of its own. The extended ones share theirs, which does for wide-band audio, too."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """What can be turned. The defaults were chosen on telephone speech, see `voicebot measure understanding`."""

    bandwidth: Mode = "neural"
    """How 8 kHz become 16, see `engines.bandwidth`."""
    mean: str = ""
    """Cepstral mean subtracted from every utterance; empty: that of `MEANS`."""
    gaussians: int = 8
    """The best of each codebook that are scored; 4 are a fifth quicker and hear a fifth more digits wrong."""
    language_weight: float = 8.0
    word_penalty: float = 0.65
    grammar_weight: float = 6.5
    grammar_phone: float = 3.0
    """Factor for each phone in a grammar: without it a soft "s" is taken for silence, and "six" for "eight"."""
    grammar_silence: float = 0.0005
    """Probability of silence between the words of a grammar."""
    beam: float = 1e-48
    word_beam: float = 7e-29
    second_pass: bool = False
    nbest_s: float = NBEST_S
    """Time for other hypotheses."""


class Decoder:
    """A pocketsphinx decoder (about 5 MB, 20 ms to make) that serves one utterance at a time and keeps the
    searches of the models it has seen, the least recently used dropped beyond `MAX_SEARCHES`."""

    MAX_SEARCHES = 24

    def __init__(self, tuning: Tuning) -> None:
        from pocketsphinx import Decoder as Native
        from pocketsphinx import get_model_path

        self._native: Any = Native(
            hmm=get_model_path("en-us/en-us"),
            dict=os.devnull,
            lm=None,
            loglevel="FATAL",
            fwdflat=tuning.second_pass,
            bestpath=True,
            topn=tuning.gaussians,
            wip=tuning.word_penalty,
            beam=tuning.beam,
            wbeam=tuning.word_beam,
        )
        self._tuning = tuning
        self._known: dict[str, None] = {}

    def has(self, key: str) -> bool:
        return key in self._known

    def load(self, model: Model) -> None:
        """Make a model's search ready (15 ms for a coffee shop); nothing to do where it is."""
        if model.key in self._known:
            self._known[model.key] = self._known.pop(model.key)
            return
        while len(self._known) >= self.MAX_SEARCHES:
            oldest = next(iter(self._known))
            del self._known[oldest]
            self._native.remove_search(oldest)
        self._add_words(model)
        config, tuning = self._native.config, self._tuning
        if model.jsgf.exists():
            config["lw"], config["pip"], config["silprob"] = (
                tuning.grammar_weight,
                tuning.grammar_phone,
                tuning.grammar_silence,
            )
            self._native.add_jsgf_file(model.key, str(model.jsgf))
        else:
            config["lw"], config["pip"], config["silprob"] = tuning.language_weight, 1.0, 0.005
            self._native.add_lm_file(model.key, str(model.arpa))
        self._known[model.key] = None

    def _add_words(self, model: Model) -> None:
        for line in model.dictionary.read_text("utf-8").splitlines():
            word, _, phones = line.partition(" ")
            if self._native.lookup_word(word) is None:
                self._native.add_word(word, phones, False)

    def begin(self, key: str) -> None:
        self._native.activate_search(key)
        self._native.set_cmn(self._tuning.mean or MEANS[self._tuning.bandwidth])
        self._native.start_utt()

    def feed(self, pcm: bytes) -> None:
        self._native.process_raw(pcm)

    def drop(self) -> None:
        """End an utterance whose result nobody wants."""
        self._native.end_utt()

    def partial(self) -> str:
        hypothesis = self._native.hyp()
        return _clean(hypothesis.hypstr) if hypothesis else ""

    def end(self) -> Words:
        so_far = self.partial()
        self._native.end_utt()
        hypothesis = self._native.hyp()
        if hypothesis is None or not hypothesis.hypstr:
            # A grammar that was not spoken to its end gives nothing at all: half a phrase, doubted, is more.
            return Words(so_far, final=True, confidence=UNFINISHED if so_far else 0.0)
        words = tuple(
            Word(
                _VARIANT.sub("", segment.word),
                segment.start_frame * FRAME_MS,
                (segment.end_frame + 1) * FRAME_MS,
                round(min(1.0, max(0.0, segment.prob)), 3),
            )
            for segment in self._native.seg()
            if not segment.word.startswith(("<", "[", "+"))
        )
        text = " ".join(word.text for word in words)
        confidence = sum(word.confidence for word in words) / len(words) if words else 0.0
        return Words(text, True, round(confidence, 3), words, self._nbest(text))

    def _nbest(self, text: str) -> tuple[str, ...]:
        """Best first. The search for the next one can take long where the lattice is dense: it has a time limit,
        so how many there are is not reproducible; the first one is."""
        found = {text: None}
        until = time.monotonic() + self._tuning.nbest_s
        for _, entry in zip(range(4 * NBEST), self._native.nbest() or (), strict=False):
            if entry is not None and (other := _clean(entry.hypstr)):
                found[other] = None
            if len(found) == NBEST or time.monotonic() > until:
                break
        return tuple(found)


def _clean(hypothesis: str) -> str:
    words = (_VARIANT.sub("", word) for word in hypothesis.split())
    return " ".join(word for word in words if not word.startswith(("<", "[", "+")))


class Utterance:
    """Audio in, words out, a step at a time, so that one process serves several calls in turn."""

    MAX_SECONDS = 60
    """Nobody says more than this in one turn that a small language model understands."""

    def __init__(self, model: Model, rate: int, tuning: Tuning) -> None:
        self.model = model
        self.finished = False
        self.ended = False
        self.dropped_bytes = 0
        self._rate = rate
        self._extender = extender(tuning.bandwidth) if rate == RATE // 2 else None
        self._audio = bytearray()
        self._pushed = self._decoded = 0
        self._partial = ""
        self._begun = False

    def push(self, pcm: bytes) -> None:
        """int16 LE at the line's rate. Beyond `MAX_SECONDS` nothing is kept."""
        if self._pushed >= self.MAX_SECONDS * self._rate * 2:
            self.dropped_bytes += len(pcm)
            return
        self._pushed += len(pcm)
        if self._extender is None:
            self._audio += pcm
        else:
            self._audio += self._extender.push(np.frombuffer(pcm, np.int16)).tobytes()

    def finish(self) -> None:
        """No more audio."""
        self.finished = True
        if self._extender is not None:
            self._audio += self._extender.flush().tobytes()

    @property
    def decoded_bytes(self) -> int:
        """Of what was pushed, at the line's rate."""
        return self._decoded if self._extender is None else self._decoded // 2

    @property
    def waiting_bytes(self) -> int:
        """Audio (16 kHz) not yet decoded."""
        return len(self._audio)

    def step(self, decoder: Decoder, most_ms: int) -> bool:
        """Decode up to `most_ms` of what waits. Whether the hypothesis changed."""
        if not self._begun:
            decoder.begin(self.model.key)
            self._begun = True
        piece = bytes(self._audio[: most_ms * RATE // 1000 * 2])
        if not piece:
            return False
        decoder.feed(piece)
        del self._audio[: len(piece)]
        self._decoded += len(piece)
        text = decoder.partial()
        changed, self._partial = text != self._partial, text
        return changed and self.waiting_bytes == 0

    def partial(self) -> Words:
        return Words(self._partial, final=False)

    def end(self, decoder: Decoder) -> Words:
        """The result, once `finished` and nothing waits."""
        self.ended = True
        return decoder.end() if self._begun else Words("", final=True, confidence=0.0)

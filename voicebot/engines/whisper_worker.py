"""The process that streams a Whisper-like model: `python -m voicebot.engines.whisper_worker FD`.

Every utterance is heard again as it grows, `step_ms` at a time, and what two hypotheses in a row agree on is its
partial result (`core.local_agreement`). Utterances that are due at the same time and want the same are heard in one
batch; those that have ended come first, so that partials never delay a final. A busy model costs partials, not
memory: the next hypothesis covers all that came meanwhile. Messages are those of `worker_messages`.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import socket
import sys
from dataclasses import replace
from typing import Any, assert_never

import numpy as np

from voicebot.core.hallucinations import Segment, believed
from voicebot.core.local_agreement import LocalAgreement
from voicebot.core.words import Word, Words
from voicebot.engines.whisper_backend import RATE, WINDOW_S, Backend, Load, Sound, Wish
from voicebot.engines.worker_messages import Kind, Message, Messages, words_to_json

UTTERANCES = 256
"""At once; a further one ends empty."""
READS = 64
"""Messages are taken in this many reads at most before the model has its turn."""
LEAST_MS = 200
"""Audio below which there is nothing to hear."""
BYTES_PER_MS = RATE * 2 // 1000


class Utterance:
    """Its audio from `agreement.cut_ms` on, and what was heard in it."""

    def __init__(self, wish: Wish, language: str) -> None:
        self.wish, self.language = wish, language
        self.agreement = LocalAgreement()
        self.finished = False
        self.heard_bytes = 0
        """Audio that the last hypothesis covered, of all that came."""
        self._pcm = bytearray()
        self._from_ms = 0
        self._words: tuple[Word, ...] = ()

    @property
    def total_bytes(self) -> int:
        return self._from_ms * BYTES_PER_MS + len(self._pcm)

    @property
    def new_ms(self) -> int:
        """Audio since the last hypothesis."""
        return (self.total_bytes - self.heard_bytes) // BYTES_PER_MS

    def push(self, pcm: bytes) -> None:
        self._pcm += pcm

    def sound(self) -> Sound:
        """What to hear now; the newest, should it be more than the model hears at once."""
        pcm = bytes(self._pcm[: len(self._pcm) // 2 * 2])
        return np.frombuffer(pcm, "<i2").astype(np.float32)[-WINDOW_S * RATE :] / np.float32(32768)

    def take(self, segments: list[Segment]) -> bool:
        """A hypothesis about `sound()`; whether the partial result grew."""
        self.heard_bytes = self.total_bytes
        start_ms = max(self._from_ms, self.heard_bytes // BYTES_PER_MS - WINDOW_S * 1000)
        kept = believed(segments, self.language)
        self._words = tuple(
            replace(word, start_ms=word.start_ms + start_ms, end_ms=word.end_ms + start_ms)
            for segment in kept
            for word in segment.words
        )
        grew = self.agreement.push(self._words, self.heard_bytes // BYTES_PER_MS)
        del self._pcm[: (self.agreement.cut_ms - self._from_ms) * BYTES_PER_MS]
        self._from_ms = self.agreement.cut_ms
        return grew

    def partial(self) -> Words:
        return _words(self.agreement.stable, final=False)

    def final(self) -> Words:
        """The words of the last hypothesis, and what was cut off before it."""
        return _words(self.agreement.final(self._words), final=True)


def _words(words: tuple[Word, ...], final: bool) -> Words:
    sure = sum(word.confidence for word in words) / len(words) if words else 0.0
    return Words(" ".join(word.text for word in words), final, sure, words)


class Worker:
    """The loop: messages in, the model's turn, words out."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._messages = Messages()
        self._utterances: dict[int, Utterance] = {}
        self._backend: Backend | None = None
        self._step_ms, self._batch, self._beam = 700, 8, 5

    def run(self) -> None:
        """Until the parent closes its end."""
        while True:
            due = self._due()
            for _ in range(READS):
                if not select.select([self._sock], [], [], 0 if due else None)[0]:
                    break
                data = self._sock.recv(1 << 18)
                if not data:
                    return
                for message in self._messages.feed(data):
                    self._obey(message)
                due = due or self._due()
            if group := self._group():
                self._hear(group)

    def _wants(self, utterance: Utterance) -> bool:
        return utterance.finished or utterance.new_ms >= self._step_ms

    def _due(self) -> bool:
        return any(self._wants(utterance) for utterance in self._utterances.values())

    def _group(self) -> list[int]:
        """Utterances to hear in one batch: those that ended before those that go on, then the longest unheard."""
        due = [(number, u) for number, u in self._utterances.items() if self._wants(u)]
        if not due:
            return []
        due.sort(key=lambda each: (not each[1].finished, -each[1].new_ms))
        first = due[0][1]
        alike = [number for number, u in due if u.wish == first.wish and u.finished == first.finished]
        return alike[: self._batch]

    def _hear(self, group: list[int]) -> None:
        utterances = [self._utterances[number] for number in group]
        final = utterances[0].finished
        wish = replace(utterances[0].wish, beam=self._beam if final else 1)
        sounds = [utterance.sound() for utterance in utterances]
        audible = [at for at, sound in enumerate(sounds) if len(sound) >= LEAST_MS * RATE // 1000]
        heard: dict[int, list[Segment]] = {}
        if audible:
            assert self._backend is not None
            try:
                found = self._backend.hear([sounds[at] for at in audible], wish)
                heard = dict(zip(audible, found, strict=True))
            except (RuntimeError, ValueError) as error:  # out of memory, a prompt too long: these utterances only
                for number in group:
                    self._send(Kind.FAULT, number, f"{type(error).__name__}: {error}".encode())
                    del self._utterances[number]
                return
        for at, (number, utterance) in enumerate(zip(group, utterances, strict=True)):
            grew = utterance.take(heard.get(at, []))
            if final:
                self._send(Kind.FINAL, number, words_to_json(utterance.final()))
                del self._utterances[number]
                continue
            self._send(Kind.AUDIO, number, str(utterance.heard_bytes).encode())
            if grew:
                self._send(Kind.PARTIAL, number, words_to_json(utterance.partial()))

    def _obey(self, message: Message) -> None:
        utterance = self._utterances.get(message.utterance)
        match message.kind:
            case Kind.HELLO:
                self._settle(json.loads(message.payload))
            case Kind.OPEN:
                self._open(message.utterance, json.loads(message.payload))
            case Kind.AUDIO:
                if utterance:
                    utterance.push(message.payload)
            case Kind.FINISH:
                if utterance:
                    utterance.finished = True
            case Kind.CANCEL:
                self._utterances.pop(message.utterance, None)
            case Kind.LOAD | Kind.BUILD | Kind.PARTIAL | Kind.FINAL | Kind.FAULT:
                raise ValueError(f"{message.kind.name} is not for this worker")
            case _:
                assert_never(message.kind)

    def _settle(self, settings: dict[str, Any]) -> None:
        """Load the model, and hear a second of nothing: the first caller must not pay for what is made lazily."""
        os.environ["HF_HUB_OFFLINE"] = "1"  # no library may fetch anything behind our back
        self._step_ms, self._batch, self._beam = settings["step_ms"], settings["batch"], settings["beam"]
        backend: Backend = importlib.import_module(settings["engine"]).load(Load.of(settings))
        backend.hear([np.zeros(RATE, np.float32)], Wish(settings["language"], "", 1))
        self._backend = backend
        self._send(Kind.HELLO, 0, b"")

    def _open(self, number: int, wanted: dict[str, str]) -> None:
        if len(self._utterances) >= UTTERANCES:
            self._send(Kind.FAULT, number, b"too many utterances")
            return
        primary = wanted["language"].partition("-")[0].lower()
        self._utterances[number] = Utterance(Wish(primary, wanted["prompt"], 1), wanted["language"])

    def _send(self, kind: Kind, utterance: int, payload: bytes) -> None:
        self._sock.sendall(Message(kind, utterance, payload).encode())


def main() -> int:
    """Entry point: the socket's file descriptor is the first argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service; the socket's end is for us.
    with socket.socket(fileno=int(sys.argv[1])) as sock:
        try:
            Worker(sock).run()
        except (BrokenPipeError, ConnectionResetError):
            return 0
        except (ImportError, OSError, RuntimeError, ValueError) as error:  # a model that cannot be loaded
            sock.sendall(Message(Kind.FAULT, 0, f"{type(error).__name__}: {error}".encode()).encode())
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

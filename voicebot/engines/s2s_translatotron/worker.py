"""The process that translates: `python -m voicebot.engines.s2s_translatotron.worker FD`.

Messages are those of `worker_messages`. The first one is JSON of the settings; the answer is HELLO with JSON of the
model's rates and languages, or FAULT. OPEN brings a whole utterance, int16 LE at the source's rate; the answers are
PARTIAL (JSON: what is said), AUDIO (int16 LE at 8 kHz) and FINAL, or FAULT and FINAL. Utterances that were cancelled
before their turn are passed over.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
from collections import deque
from pathlib import Path

import numpy as np

from voicebot.audio.resample import Resampler
from voicebot.engines.worker_messages import Kind, Message, Messages

WAITING = 64
"""Utterances; a further one ends at once with a fault."""
RATE = 8000


class Worker:
    """The loop: messages in, the model's turn, messages out."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self._messages = sock, Messages()
        self._waiting: deque[Message] = deque()

    def run(self) -> None:
        """Until the parent closes its end."""
        while self._read(wait=not self._waiting):
            if self._waiting:
                self._translate(self._waiting.popleft())

    def _read(self, wait: bool) -> bool:
        """Take what has come; False when nobody is there any more."""
        while select.select([self._sock], [], [], None if wait else 0)[0]:
            data = self._sock.recv(1 << 18)
            if not data:
                return False
            for message in self._messages.feed(data):
                self._take(message)
            wait = False
        return True

    def _take(self, message: Message) -> None:
        if message.kind is Kind.HELLO:
            self._load(json.loads(message.payload))
        elif message.kind is Kind.CANCEL:
            self._waiting = deque(each for each in self._waiting if each.utterance != message.utterance)
        elif message.kind is Kind.OPEN and len(self._waiting) < WAITING:
            self._waiting.append(message)
        elif message.kind is Kind.OPEN:
            self._say(Kind.FAULT, message.utterance, b"too many utterances wait")
            self._say(Kind.FINAL, message.utterance, b"")

    def _load(self, settings: dict[str, str]) -> None:
        from voicebot.engines.s2s_translatotron.translator import Translator, threads
        from voicebot.errors import VoicebotError

        try:
            threads(1)
            vocoder, voice = (
                Path(settings[name]) if settings[name] else None for name in ("vocoder", "speaker_encoder")
            )
            made = Translator(Path(settings["model"]), settings["device"], int(settings["rounds"]), vocoder, voice)
            made.translate(np.zeros(made.config.source.rate, np.float32))  # what is made lazily is made now
        except (VoicebotError, OSError, RuntimeError) as error:
            self._say(Kind.FAULT, 0, str(error).encode())
            raise BrokenPipeError from None  # without a model there is nothing to wait for
        self._translator = made
        facts = {"source": made.about.source, "target": made.about.target, "rate": made.config.source.rate}
        self._say(Kind.HELLO, 0, json.dumps(facts).encode())

    def _translate(self, message: Message) -> None:
        pcm = message.payload[: len(message.payload) // 2 * 2]
        try:
            made = self._translator.translate(np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768))
            spoken = (np.clip(made.samples, -1, 1) * 32767).astype("<i2").tobytes()
            if made.rate != RATE:
                resampler = Resampler(made.rate, RATE)
                spoken = resampler.push(spoken) + resampler.flush()
            self._say(Kind.PARTIAL, message.utterance, json.dumps({"text": made.text}).encode())
            self._say(Kind.AUDIO, message.utterance, spoken)
        except (RuntimeError, ValueError) as error:
            self._say(Kind.FAULT, message.utterance, str(error).encode())
        self._say(Kind.FINAL, message.utterance, b"")

    def _say(self, kind: Kind, utterance: int, payload: bytes) -> None:
        self._sock.sendall(Message(kind, utterance, payload).encode())


def main() -> None:
    """Run on the socket whose number is the argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent closes the socket
    try:
        Worker(socket.socket(fileno=int(sys.argv[1]))).run()
    except (BrokenPipeError, ConnectionResetError):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()

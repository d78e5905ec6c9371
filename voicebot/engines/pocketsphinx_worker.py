"""The recogniser's own process: `python -m voicebot.engines.pocketsphinx_worker FD`, a socket it inherited.

Why a process and not a thread: pocketsphinx keeps the GIL while it decodes. Measured: a thread that wakes every
millisecond was not run once in the 1.39 s that 23 s of speech took.

Messages are those of `worker_messages`. One thread does everything: it takes what has arrived, then decodes a
piece of one waiting utterance after the other. An utterance needs a decoder from its first piece to its result;
where all `decoders` are busy it waits, its audio kept, and catches up later. When the socket closes the process
ends, so nothing outlives a killed parent.
"""

from __future__ import annotations

import json
import select
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any, assert_never

from voicebot.core.expect import Expectation
from voicebot.core.grammar import GrammarError
from voicebot.engines.pocketsphinx_decoder import Decoder, Tuning, Utterance
from voicebot.engines.pocketsphinx_model import Model, build, from_json
from voicebot.engines.worker_messages import Kind, Message, Messages, words_to_json

PIECE_MS = 200
"""Audio decoded before the next utterance has its turn: about 10 ms of work."""


class Worker:
    """The loop of the worker process: utterances in over a socket, words out, a few decoders in between."""

    def __init__(self, send: Callable[[bytes], Any]) -> None:
        self._out = send
        self._messages = Messages()
        self._models: dict[str, Model] = {}
        self._waiting: dict[int, Utterance] = {}
        """In the order of their turns."""
        self._busy: dict[int, Decoder] = {}
        self._idle: list[Decoder] = []
        self._rate, self._decoders, self._folder, self._tuning = 16_000, 1, "", Tuning()

    def run(self, sock: socket.socket) -> None:
        """Until the parent closes its end."""
        while True:
            if not self._work() or select.select([sock], [], [], 0)[0]:
                data = sock.recv(1 << 18)
                if not data:
                    return
                for message in self._messages.feed(data):
                    self._obey(message)
            self._turn()

    def answer(self, message: Message) -> None:
        """Obey a message and do all the work that there is then: for who has the worker to itself, without a socket."""
        self._obey(message)
        while self._work():
            self._turn()

    def _work(self) -> bool:
        """Whether an utterance could go on without new messages."""
        free = bool(self._idle) or len(self._busy) < self._decoders
        return any(
            (number in self._busy or free) and (u.waiting_bytes or u.finished) for number, u in self._waiting.items()
        )

    def _turn(self) -> None:
        for number in list(self._waiting):
            utterance = self._waiting[number]
            if not (utterance.waiting_bytes or utterance.finished):
                continue
            decoder = self._busy.get(number) or self._take(utterance.model)
            if decoder is None:
                continue
            self._busy[number] = decoder
            self._advance(number, utterance, decoder)
            del self._waiting[number]
            if not utterance.ended:
                self._waiting[number] = utterance
            return

    def _advance(self, number: int, utterance: Utterance, decoder: Decoder) -> None:
        if utterance.step(decoder, PIECE_MS):
            self._send(Kind.PARTIAL, number, words_to_json(utterance.partial()))
        self._send(Kind.AUDIO, number, str(utterance.decoded_bytes).encode())
        if utterance.finished and not utterance.waiting_bytes:
            self._send(Kind.FINAL, number, words_to_json(utterance.end(decoder)))
            self._idle.append(self._busy.pop(number))

    def _take(self, model: Model) -> Decoder | None:
        """An idle decoder, rather one that knows the model; a new one where there may be one more."""
        decoder = next((d for d in self._idle if d.has(model.key)), None)
        if decoder is None and len(self._idle) + len(self._busy) < self._decoders:
            decoder = Decoder(self._tuning)
        elif decoder is None and self._idle:
            decoder = self._idle[0]
        if decoder is None:
            return None
        if decoder in self._idle:
            self._idle.remove(decoder)
        decoder.load(model)
        return decoder

    def _obey(self, message: Message) -> None:
        match message.kind:
            case Kind.HELLO:
                self._settle(json.loads(message.payload))
            case Kind.LOAD:
                model = Model(**json.loads(message.payload))
                self._models[model.key] = model
                self._warm(model)
            case Kind.BUILD:
                self._build(*from_json(message.payload))
            case Kind.OPEN:
                self._open(message.utterance, message.payload.decode())
            case Kind.AUDIO:
                if utterance := self._waiting.get(message.utterance):
                    utterance.push(message.payload)
            case Kind.FINISH:
                if utterance := self._waiting.get(message.utterance):
                    utterance.finish()
            case Kind.CANCEL:
                self._cancel(message.utterance)
            case Kind.PARTIAL | Kind.FINAL | Kind.FAULT:
                raise ValueError(f"{message.kind.name} is for the other direction")
            case _:
                assert_never(message.kind)

    def _settle(self, settings: dict[str, Any]) -> None:
        self._rate, self._decoders, self._folder = settings["rate"], settings["decoders"], settings["folder"]
        self._tuning = Tuning(**settings["tuning"])
        self._idle.append(Decoder(self._tuning))
        self._send(Kind.HELLO, 0, b"")

    def _warm(self, model: Model) -> None:
        """Load into one idle decoder now, so that the first call that needs it does not wait."""
        if self._idle:
            self._idle[0].load(model)

    def _build(self, expectation: Expectation, pronunciations: dict[str, str]) -> None:
        try:
            model = build(expectation, pronunciations, self._folder)
        except GrammarError as error:
            self._send(Kind.FAULT, 0, str(error).encode())
            return
        self._models[model.key] = model

    def _open(self, number: int, key: str) -> None:
        if model := self._models.get(key):
            self._waiting[number] = Utterance(model, self._rate, self._tuning)
            return
        self._send(Kind.FAULT, number, f"no model {key}".encode())

    def _cancel(self, number: int) -> None:
        self._waiting.pop(number, None)
        if decoder := self._busy.pop(number, None):
            decoder.drop()
            self._idle.append(decoder)

    def _send(self, kind: Kind, utterance: int, payload: bytes) -> None:
        self._out(Message(kind, utterance, payload).encode())


def main() -> int:
    """Entry point: the socket's file descriptor is the first argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service; the socket's end is for us.
    with socket.socket(fileno=int(sys.argv[1])) as sock:
        try:
            Worker(sock.sendall).run(sock)
        except (BrokenPipeError, ConnectionResetError):
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())

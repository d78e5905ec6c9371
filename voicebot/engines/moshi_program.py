"""A server of Kyutai's protocol for several calls at once: one model, one GPU, a slot for each call.

    python -m voicebot.engines.moshi_program --slots 4 --host 0.0.0.0

Runs in the environment of `moshi` (torch, aiohttp, sphn); of voicebot it needs these files and nothing that they need.
A call that finds no free slot is told so and closed.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import sphn
from aiohttp import WSMsgType, web

from voicebot.core.moshi import FRAME_SAMPLES, RATE, Kind
from voicebot.engines.moshi_batch import DEFAULT_REPO, Batch, Checkpoint, Samples, Step

MOST_FRAMES = 25
"""Of one call that wait, either way; beyond, the oldest is dropped."""
GATHER_S = 0.02
"""A step waits so long for the calls whose frame is not there yet."""
SEND_S = 2.0
SILENCE = np.zeros(FRAME_SAMPLES, np.float32)


class Slot:
    """One call."""

    def __init__(self) -> None:
        self.heard: deque[Samples] = deque(maxlen=MOST_FRAMES)
        self.said: asyncio.Queue[Step] = asyncio.Queue(MOST_FRAMES)
        self.joined = True
        """Since the last step."""

    def say(self, step: Step) -> None:
        """To be sent."""
        if self.said.full():
            self.said.get_nowait()
        self.said.put_nowait(step)


class Server:
    """All calls, and the one loop that moves them."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._slots: dict[int, Slot] = {}
        self._come = asyncio.Event()

    async def steps(self) -> None:
        """For ever: a step for whoever has been heard."""
        while True:
            await self._come.wait()
            if any(not slot.heard for slot in self._slots.values()):
                await asyncio.sleep(GATHER_S)
            self._come.clear()
            ready = {number: slot for number, slot in self._slots.items() if slot.heard}
            if not ready:
                continue
            frames = {number: slot.heard.popleft() for number, slot in ready.items()}
            joined = {number for number, slot in ready.items() if slot.joined}
            for number in joined:
                ready[number].joined = False
            said = await asyncio.to_thread(self._batch.step, frames, joined)
            for number, slot in ready.items():
                slot.say(said[number])
            if any(slot.heard for slot in self._slots.values()):
                self._come.set()

    async def chat(self, request: web.Request) -> web.WebSocketResponse:
        """One call, from its handshake to its end."""
        socket = web.WebSocketResponse(max_msg_size=1 << 20)
        await socket.prepare(request)
        free = sorted(set(range(self._batch.slots)) - set(self._slots))
        if not free:
            await socket.send_bytes(bytes([Kind.ERROR]) + b"all slots are taken")
            return socket
        slot = self._slots[free[0]] = Slot()
        try:
            await socket.send_bytes(bytes([Kind.HANDSHAKE]))
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(self._send(socket, slot))
                await self._receive(socket, slot)
                sending.cancel()
        except* (ConnectionError, TimeoutError):
            pass
        finally:
            del self._slots[free[0]]
        return socket

    async def _receive(self, socket: web.WebSocketResponse, slot: Slot) -> None:
        reader: Any = sphn.OpusStreamReader(RATE)
        rest = np.zeros(0, np.float32)
        async for message in socket:
            if message.type is not WSMsgType.BINARY or message.data[:1] != bytes([Kind.AUDIO]):
                continue
            try:
                rest = np.concatenate([rest, reader.append_bytes(message.data[1:])])
            except ValueError:  # no Opus; nor is what comes after it for this reader
                return
            while len(rest) >= FRAME_SAMPLES:
                slot.heard.append(rest[:FRAME_SAMPLES])
                rest = rest[FRAME_SAMPLES:]
                self._come.set()

    async def _send(self, socket: web.WebSocketResponse, slot: Slot) -> None:
        writer: Any = sphn.OpusStreamWriter(RATE)
        while True:
            step = await slot.said.get()
            ogg = writer.append_pcm(SILENCE if step.pcm is None else step.pcm)
            async with asyncio.timeout(SEND_S):
                if ogg:
                    await socket.send_bytes(bytes([Kind.AUDIO]) + ogg)
                if step.text:
                    await socket.send_bytes(bytes([Kind.TEXT]) + step.text.encode())


def application(batch: Batch) -> web.Application:
    """The web application; its loop of steps lives as long as it does."""
    app, server = web.Application(), Server(batch)

    async def stepping(_: web.Application) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(server.steps())
            yield
            task.cancel()

    app.cleanup_ctx.append(stepping)
    app.router.add_get("/api/chat", server.chat)
    return app


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8998)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--hf-repo", default=DEFAULT_REPO)
    for name in ("config", "moshi", "mimi", "mimi-config", "tokenizer"):
        parser.add_argument(f"--{name}", help="a file, instead of the repository's")
    args = parser.parse_args()
    files = (args.config, args.moshi, args.mimi, args.mimi_config, args.tokenizer)
    batch = Batch(Checkpoint(args.hf_repo, *files), args.slots, args.device)
    for _ in range(4):  # what is compiled or captured lazily is now
        batch.step(dict.fromkeys(range(args.slots), SILENCE))
    web.run_app(application(batch), host=args.host, port=args.port, print=None)


if __name__ == "__main__":
    main()

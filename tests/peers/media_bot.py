"""A bot for media streams that says its recording when somebody has called: what a peer of the load bench must be able
to do, and no more. Run as a program."""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import sys
import wave

from websockets.asyncio.server import ServerConnection, serve

from voicebot.audio.g711 import ulaw_encode

CHUNK_BYTES, CHUNK_S = 320, 0.04


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--wav")
    wav = parser.parse_known_args()[0].wav
    with wave.open(wav) as file:
        ulaw = ulaw_encode(file.readframes(file.getnframes()))

    async def call(stream: ServerConnection) -> None:
        while json.loads(await stream.recv())["event"] != "start":
            pass
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        for at in range(0, len(ulaw), CHUNK_BYTES):
            payload = base64.b64encode(ulaw[at : at + CHUNK_BYTES]).decode()
            await stream.send(json.dumps({"event": "media", "media": {"payload": payload}}))
            due_s += CHUNK_S if at else 0  # two at once, as pipecat does
            await asyncio.sleep(max(0.0, due_s - loop.time()))
        await stream.wait_closed()

    async with serve(call, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        print(f"pipecat 0.0 is at http://127.0.0.1:{port}. Stop with Ctrl-C.", file=sys.stderr, flush=True)
        await asyncio.sleep(60)


if __name__ == "__main__":
    asyncio.run(main())

"""PJSIP as a telephone, in a process of its own: it does what it is told, a word a line, and says what happens.

`python -m tests.peers.pjsua_phone SAYS.wav HEARS.wav`. Told: call URI, hold, resume, codec NAME, key DIGIT, hang_up.
"""

from __future__ import annotations

import asyncio
import gc
import os
import select
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
CODECS = ("PCMU/8000/1", "PCMA/8000/1")


# --- the test's side -----------------------------------------------------------------------------------------------


class PjsuaPhone:
    """Made by `pjsua_phone`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.said: list[str] = []

    def tell(self, *words: str) -> None:
        assert self._process.stdin
        self._process.stdin.write((" ".join(words) + "\n").encode())

    async def says(self, what: str) -> None:
        """Wait until it has said this, once more for each time that it was waited for."""
        assert self._process.stdout
        async with asyncio.timeout(10):
            while what not in self.said:
                line = await self._process.stdout.readline()
                assert line, self.said
                self.said.append(line.decode().strip())
        self.said.remove(what)


@asynccontextmanager
async def pjsua_phone(says: Path, hears: Path) -> AsyncIterator[PjsuaPhone]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.peers.pjsua_phone", str(says), str(hears), cwd=Path(__file__).parents[2],
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    phone = PjsuaPhone(process)
    try:
        await phone.says("ready")
        yield phone
    finally:
        assert process.stdin
        process.stdin.close()
        try:
            async with asyncio.timeout(3):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


# --- the process ---------------------------------------------------------------------------------------------------


def main(says: str, hears: str) -> None:
    import pjsua2 as pj

    gc.disable()  # objects of PJSIP's must not go when Python likes

    def tell(*words: object) -> None:
        print(*words, flush=True)

    class Call(pj.Call):  # type: ignore[misc]
        def onCallState(self, prm: Any) -> None:
            info = self.getInfo()
            tell(info.stateText, info.lastStatusCode)

        def onCallMediaState(self, prm: Any) -> None:
            info = self.getInfo()  # kept: what it holds goes with it
            active = info.media[0].status == pj.PJSUA_CALL_MEDIA_ACTIVE
            if active:
                player.startTransmit(self.getAudioMedia(0))
                self.getAudioMedia(0).startTransmit(recorder)
            tell("media", self.getStreamInfo(0).codecName if active else "held")

        def onCallTransferRequest(self, prm: Any) -> None:
            tell("referred", prm.dstUri)

    endpoint = pj.Endpoint()
    endpoint.libCreate()
    config = pj.EpConfig()
    config.uaConfig.threadCnt, config.logConfig.level, config.logConfig.consoleLevel = 0, 1, 1
    config.medConfig.clockRate = config.medConfig.sndClockRate = 8000
    config.medConfig.noVad = True
    endpoint.libInit(config)
    transport = pj.TransportConfig()
    transport.boundAddress = HOST
    number = endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
    endpoint.libStart()
    endpoint.audDevManager().setNullDev()

    def prefer(name: str) -> None:
        for codec in endpoint.codecEnum2():
            endpoint.codecSetPriority(codec.codecId, 0)
        for codec in CODECS:
            endpoint.codecSetPriority(codec, 255 if codec.startswith(name) else 100)

    prefer("PCMU")
    account_config = pj.AccountConfig()
    account_config.idUri = f"sip:+15550001111@{HOST}"
    account_config.sipConfig.transportId = number
    account_config.mediaConfig.transportConfig.boundAddress = HOST
    account = pj.Account()
    account.create(account_config)
    player, recorder = pj.AudioMediaPlayer(), pj.AudioMediaRecorder()
    player.createPlayer(says)
    recorder.createRecorder(hears)
    calls: list[Any] = []

    def obey(word: str, more: str) -> None:
        operation = pj.CallOpParam(True)
        match word:
            case "call":
                calls.append(Call(account))
                calls[-1].makeCall(more, operation)
            case "hold":
                calls[-1].setHold(operation)
            case "resume":
                operation.opt.flag = pj.PJSUA_CALL_UNHOLD
                calls[-1].reinvite(operation)
            case "codec":
                prefer(more)
                calls[-1].reinvite(operation)
            case "key":
                calls[-1].dialDtmf(more)
            case "hang_up":
                calls[-1].hangup(operation)

    tell("ready")
    told = b""
    while True:
        endpoint.libHandleEvents(10)
        if select.select([0], [], [], 0)[0]:
            told += (more := os.read(0, 4096))
            if not more:
                del recorder
                time.sleep(0.2)  # its file is whole when the bridge has let it go
                os._exit(0)  # PJSIP's own end waits for what Python holds
        *lines, told = told.split(b"\n")
        for line in lines:
            word, _, rest = line.decode().partition(" ")
            obey(word, rest)


if __name__ == "__main__":
    main(*sys.argv[1:])

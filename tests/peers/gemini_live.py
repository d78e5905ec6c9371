"""A local Live API server, driven by Google's own client, which misbehaves on request.

Orders of messages as they are documented: a turn goes transcripts and audio, `generationComplete`, the time that it
believes playing takes, `turnComplete`; an interruption `interrupted`, then `turnComplete`. Audio comes faster than real
time. It takes the client's mixture of camelCase and snake_case, and is as strict about the rest as the service is.
"""

from __future__ import annotations

import asyncio
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import websockets
from websockets.asyncio.server import ServerConnection, serve

from tests.peers import tls

RATE_IN, RATE_OUT = 16000, 24000
LOUD = 500
SILENCE_MS = 300


@dataclass(frozen=True)
class Answer:
    """One turn of the model."""

    text: str = "Certainly."
    ms: int = 600
    heard: str = ""
    """The transcript of what the caller said."""
    heard_late: bool = False
    """It comes after the answer."""
    tools: tuple[tuple[str, dict[str, Any]], ...] = ()
    """Called before anything is said; what is said afterwards is the next answer of the script."""
    meanwhile: str = ""
    """Said while the tools run, where they do not block."""
    after_s: float = 0.0
    reason: str = ""
    """`turnCompleteReason`: nothing is said."""
    never: bool = False
    """The server does not answer at all."""
    hz: int = 440


@dataclass
class GeminiServer:
    """`async with GeminiServer([Answer("Hi.")]) as server:`; a client needs `server.url` and `server.ca_file`."""

    script: Iterable[Answer] = ()
    playback: float = 0.3
    """How much of real time it believes that playing takes; 1.0 as the service, less for tests in a hurry."""
    refuses: tuple[int, str] | None = None
    """Close code and reason in place of the session."""
    refuses_resumed: tuple[int, str] | None = None
    mute: bool = False
    """Never completes the setup."""
    deaf: bool = False
    """Not even a goodbye is answered."""
    resumable: bool = True
    stale: bool = False
    """Audio of an interrupted turn comes after `interrupted`."""
    odd: Iterable[str | bytes] = ()
    """Sent right after the setup, as they are."""
    go_away: tuple[int, str] | None = None
    """(after how many turns, time left)."""
    drops: Literal["", "speech", "turn", "reply"] = ""
    """Close with `drop_code` once: in the middle of a reply; after the first reply, when the caller's turn begins or
    ends."""
    drop_code: tuple[int, str] = (1011, "Internal error encountered.")
    setups: list[dict[str, Any]] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    """Every content that a client sent."""
    turns: list[bytes] = field(default_factory=list)
    """The caller's audio, a turn each."""
    said: list[str] = field(default_factory=list)
    """Texts that came as the caller's turn."""
    responses: list[dict[str, Any]] = field(default_factory=list)
    updates: list[dict[str, Any]] = field(default_factory=list)
    interrupted: int = 0
    up: int = 0
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""
    ca_file: str = ""

    async def __aenter__(self) -> GeminiServer:
        self.answers = iter(tuple(self.script))
        self.handles: set[str] = set()
        self.done = 0
        """Turns of the model that are complete."""
        self.sockets: set[ServerConnection] = set()
        self._server = await serve(self._connected, "127.0.0.1", 0, ssl=tls.server())
        port = next(iter(self._server.sockets)).getsockname()[1]
        self.url, self.ca_file = f"https://127.0.0.1:{port}", str(tls.certificate())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close(close_connections=True)
        await self._server.wait_closed()

    async def hang_up(self, code: int, reason: str = "") -> None:
        """1006: without a word."""
        for socket in list(self.sockets):
            if code == 1006:
                socket.transport.abort()
            else:
                await socket.close(code, reason)

    async def _connected(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        assert socket.request.path == "/ws/google.ai.generativelanguage.v1.GenerativeService.BidiGenerateContent"
        self.headers.append(dict(socket.request.headers))
        self.up += 1
        self.sockets.add(socket)
        try:
            async with asyncio.TaskGroup() as group:
                await _Session(self, socket, group).run()
        except* websockets.ConnectionClosed:
            pass
        finally:
            self.up -= 1
            self.sockets.discard(socket)


def camel(value: Any) -> Any:
    """Whatever the client sent, with the names that the API has."""
    match value:
        case dict():
            return {re.sub(r"_([a-z])", lambda m: m[1].upper(), k): camel(v) for k, v in value.items()}
        case list():
            return [camel(each) for each in value]
        case _:
            return value


class _Session:
    def __init__(self, server: GeminiServer, socket: ServerConnection, group: asyncio.TaskGroup) -> None:
        self._server, self._socket, self._group = server, socket, group
        self._speech: asyncio.Task[None] | None = None
        self._caller: bytearray | None = None
        """Of the turn that goes on."""
        self._before = bytearray()
        self._quiet_ms = self._heard_ms = 0
        self._calls: list[str] = []
        self._number = 0
        self._texts: list[str] = []

    async def run(self) -> None:
        setup = camel(json.loads(await self._socket.recv()))["setup"]
        self._server.setups.append(setup)
        if not await self._set_up(setup):
            return
        async for raw in self._socket:
            message = json.loads(raw)
            (kind,) = camel(message)
            await self._hear(kind, next(iter(message.values())))

    async def _set_up(self, setup: dict[str, Any]) -> bool:
        if self._server.deaf:
            self._socket.transport.pause_reading()  # type: ignore[attr-defined]
            await asyncio.sleep(2.5)
            self._socket.transport.abort()
        if self._server.mute or self._server.deaf:
            await self._socket.wait_closed()
            return False
        handle = setup.get("sessionResumption", {}).get("handle")
        refusal = self._server.refuses or (self._server.refuses_resumed if handle else None)
        if handle and handle not in self._server.handles:
            refusal = (1007, "Request contains an invalid argument.")
        if setup["generationConfig"]["responseModalities"] != ["AUDIO"]:
            refusal = (1007, "Only AUDIO.")
        if refusal:
            await self._socket.close(*refusal)
            return False
        detection = setup.get("realtimeInputConfig", {}).get("automaticActivityDetection", {})
        self._ours = bool(detection.get("disabled"))
        tools = [each for tool in setup.get("tools", ()) for each in tool["functionDeclarations"]]
        self._blocking = all(tool.get("behavior") == "BLOCKING" for tool in tools)
        self._initial = bool(setup.get("historyConfig", {}).get("initialHistoryInClientContent"))
        await self._say({"setupComplete": {"sessionId": f"session_{len(self._server.setups)}"}})
        for odd in self._server.odd:
            await self._socket.send(odd)
        return True

    async def _hear(self, kind: str, body: dict[str, Any]) -> None:
        match kind:
            case "realtimeInput":
                (part,) = camel(body)
                await self._realtime(part, next(iter(body.values())))
            case "clientContent":
                await self._content(camel(body))
            case "toolResponse":
                await self._responses(camel(body)["functionResponses"])
            case "contextUpdate":
                self._server.updates.append(camel(body))
            case _:
                await self._socket.close(1007, f"Unknown name {kind}.")

    # --- the caller

    async def _realtime(self, part: str, value: Any) -> None:
        match part:
            case "audio":
                assert camel(value)["mimeType"] == f"audio/pcm;rate={RATE_IN}", value
                await self._audio(b64decode(value["data"].replace("-", "+").replace("_", "/")))
            case "activityStart" | "activityEnd" if not self._ours:
                await self._socket.close(1007, "Explicit activity control is not supported when it is automatic.")
            case "activityStart":
                await self._begin()
            case "activityEnd":
                await self._end()
            case "audioStreamEnd":
                if self._caller is not None:
                    await self._end()
            case "text":
                self._server.said.append(value)
                if not self._ours:
                    await self._begin()
                    await self._end()
            case _:
                await self._socket.close(1007, f"Unknown name {part}.")

    async def _audio(self, pcm: bytes) -> None:
        ms = len(pcm) * 1000 // (2 * RATE_IN)
        self._heard_ms += ms
        if self._ours:
            if self._caller is not None:
                self._caller += pcm
            return
        loud = float(np.abs(np.frombuffer(pcm, "<i2").astype(float)).mean()) > LOUD
        self._quiet_ms = 0 if loud else self._quiet_ms + ms
        if loud and self._caller is None:
            await self._voice("ACTIVITY_START")
            await self._begin()
        if self._caller is not None:
            self._caller += pcm
            if self._quiet_ms >= SILENCE_MS:
                await self._voice("ACTIVITY_END")
                await self._end()

    async def _voice(self, kind: str) -> None:
        offset = f"{self._heard_ms / 1000}s"
        await self._say({"voiceActivity": {"type": kind, "audioOffset": offset}})

    async def _begin(self) -> None:
        self._caller = bytearray()
        await self._interrupt()
        await self._drop("speech")

    async def _end(self) -> None:
        self._server.turns.append(bytes(self._caller or b""))
        self._caller = None
        await self._drop("turn")
        await self._answer()

    async def _content(self, body: dict[str, Any]) -> None:
        self._server.history += body.get("turns", ())
        complete = body.get("turnComplete", False)
        if self._initial:
            self._initial = not complete
            return
        await self._interrupt()
        if complete:
            await self._answer()

    async def _responses(self, responses: list[dict[str, Any]]) -> None:
        self._server.responses += responses
        for response in responses:
            if response["id"] not in self._calls:
                await self._socket.close(1007, "Unknown function call.")
                return
            self._calls.remove(response["id"])
        if self._calls or responses[-1].get("scheduling") == "SILENT":
            return
        if responses[-1].get("scheduling") == "INTERRUPT":
            await self._interrupt()
        elif self._speech is not None:  # WHEN_IDLE
            await asyncio.wait({self._speech})
        await self._answer()

    # --- the model

    async def _interrupt(self) -> None:
        if self._speech is None and not self._calls:
            return
        if self._speech is not None:
            self._speech.cancel()
            self._speech = None
        self._server.interrupted += 1
        await self._say({"serverContent": {"interrupted": True}})
        if self._server.stale:
            await self._say({"serverContent": {"modelTurn": _audio(np.ones(2400) * 0.1)}})
        if self._calls:
            await self._say({"toolCallCancellation": {"ids": self._calls}})
            self._calls = []
        await self._complete("")

    async def _answer(self) -> None:
        answer = next(self._server.answers, Answer(never=True))
        if not answer.never:
            self._speech = self._group.create_task(self._speak(answer))

    async def _speak(self, answer: Answer) -> None:
        try:
            await self._turn(answer)
        except websockets.ConnectionClosed:
            pass

    async def _turn(self, answer: Answer) -> None:
        await asyncio.sleep(answer.after_s)
        if answer.heard and not answer.heard_late:
            await self._transcript(answer.heard)
        text, ms = answer.text, answer.ms
        if answer.tools:
            await self._call_tools(answer)
            if self._blocking:
                self._speech = None
                return
            text = answer.meanwhile
        if not answer.reason and text:
            await self._sound(text, ms, answer.hz)
            await self._say({"serverContent": {"generationComplete": True}})
            await asyncio.sleep(self._server.playback * ms / 1000)
        self._speech = None
        await self._complete(answer.reason)
        if answer.heard and answer.heard_late:
            await self._transcript(answer.heard)

    async def _sound(self, text: str, ms: int, hz: int) -> None:
        pieces = max(1, ms // 100)
        words = [word + " " for word in text.split(" ")]
        t = np.arange(ms * RATE_OUT // 1000) / RATE_OUT
        tone = 0.3 * np.sin(2 * np.pi * hz * t)
        for i in range(pieces):
            some = tone[len(tone) * i // pieces : len(tone) * (i + 1) // pieces]
            await self._say({"serverContent": {"modelTurn": _audio(some)}})
            said = "".join(words[len(words) * i // pieces : len(words) * (i + 1) // pieces])
            if i == pieces - 1:
                said = said[:-1]
            if said:
                await self._say({"serverContent": {"outputTranscription": {"text": said}}})
            if i == pieces // 2:
                await self._drop("reply")
            await asyncio.sleep(0.002)

    async def _call_tools(self, answer: Answer) -> None:
        calls = []
        for name, args in answer.tools:
            self._number += 1
            calls.append({"id": f"call_{len(self._server.setups)}_{self._number}", "name": name, "args": args})
        self._calls = [call["id"] for call in calls]
        await self._say({"toolCall": {"functionCalls": calls}})

    async def _transcript(self, text: str) -> None:
        first, _, rest = text.partition(" ")
        await self._say({"serverContent": {"inputTranscription": {"text": first}}})
        if rest:
            await self._say({"serverContent": {"inputTranscription": {"text": " " + rest}}})

    async def _complete(self, reason: str) -> None:
        content: dict[str, Any] = {"turnComplete": True, "interactionStatus": "IDLE"}
        if reason:
            content["turnCompleteReason"] = reason
        await self._say({"serverContent": content, "usageMetadata": {"totalTokenCount": 7}})
        self._server.done += 1
        handle = f"handle_{self._server.done}"
        self._server.handles.add(handle)
        update: dict[str, Any] = {"newHandle": handle, "resumable": True} if self._server.resumable else {}
        await self._say({"sessionResumptionUpdate": update})
        if self._server.go_away and self._server.done == self._server.go_away[0]:
            await self._say({"goAway": {"timeLeft": self._server.go_away[1]}})

    async def _drop(self, when: str) -> None:
        if self._server.drops == when and (when == "reply" or self._server.done):
            self._server.drops = ""
            if self._server.drop_code[0] == 1006:
                self._socket.transport.abort()
            await self._socket.close(*self._server.drop_code)

    async def _say(self, message: dict[str, Any]) -> None:
        await self._socket.send(json.dumps(message).encode())


def _audio(samples: np.ndarray[Any, Any]) -> dict[str, Any]:
    data = b64encode((samples * 32767).astype("<i2").tobytes()).decode()
    return {"role": "model", "parts": [{"inlineData": {"mimeType": f"audio/pcm;rate={RATE_OUT}", "data": data}}]}

"""Speech to speech by Moshi: a client of Kyutai's server, and of all that speak its protocol (Hibiki, PersonaPlex,
`moshi_program`, which serves several calls at once).

Full duplex: the model hears and speaks at the same time, and nobody decides whose turn it is but the model. It has no
instructions, no tools and no history; greetings, notices, keys and transfers are the call's. English only, in the one
voice of its checkpoint.

Options (`engines.options.s2s_moshi` of a dialplan):

    url       where the server is; default `ws://127.0.0.1:8998/api/chat`
    query     a table of parameters that a server reads from the address (`text_prompt` of PersonaPlex, temperatures)
    lag_s     a model that is this much behind the caller is too slow, and is given up (2.0)

Kyutai's weights are CC-BY 4.0, their server in Python MIT, in Rust Apache-2.0. Theirs in Python serves one call at a
time; a second one finds it busy. It wants a GPU of 24 GB.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from voicebot import log
from voicebot.core import moshi
from voicebot.core.conversation import Message
from voicebot.core.dialogue import ToolDone
from voicebot.core.duplex import Abilities, AudioFormat, Coding, Context, Decides, DuplexEvent, Gone
from voicebot.core.duplex_stream import Stretches
from voicebot.core.tool_specs import ToolSpec
from voicebot.engines.base import EngineConfig
from voicebot.engines.duplex_outbox import STUCK, Outbox
from voicebot.engines.openai_client import known
from voicebot.engines.opus_stream import OpusIn, OpusOut, lack
from voicebot.errors import PeerError, UsageError

DEFAULT_URL = "ws://127.0.0.1:8998/api/chat"
WHO = "Moshi"
CONNECT_S = 1.5
SEND_S = 2.0
LEAVING_S = 0.5
BYTES_MS = 2 * moshi.RATE // 1000
_OPTIONS = frozenset("url query lag_s".split())
_log = log.get("s2s_moshi")


def check() -> str | None:
    """None when it can run here, else what it needs."""
    return lack()


def create(config: EngineConfig) -> MoshiDuplex:
    """`UsageError` for an unknown option or an address that is none."""
    known(config.options, _OPTIONS, "The speech-to-speech engine moshi")
    url = str(config.options.get("url") or DEFAULT_URL)
    if urlsplit(url).scheme not in ("ws", "wss"):
        raise UsageError(f"The url of moshi begins with ws:// or wss://, not as {url!r} does.")
    if query := config.options.get("query"):
        url += ("&" if urlsplit(url).query else "?") + urlencode(dict(query))
    return MoshiDuplex(url, float(config.options.get("lag_s", 2.0)))


class MoshiDuplex:
    """The engine: nothing is shared by its calls but the address."""

    abilities = Abilities(
        AudioFormat(Coding.OPUS, moshi.RATE), AudioFormat(Coding.OPUS, moshi.RATE), (Decides.ENGINE,), obeys=False
    )

    def __init__(self, url: str, lag_s: float) -> None:
        self._url, self._lag_ms = url, round(1000 * lag_s)

    async def start(self) -> None:
        """Load the codec. `PeerError` when it is not installed."""
        if missing := lack():
            raise PeerError(missing)
        await asyncio.to_thread(OpusOut, moshi.RATE)

    async def close(self) -> None:
        """Every call has a connection of its own."""

    async def open(self, context: Context) -> MoshiSession:
        """Connected, and the model listens."""
        socket: ClientConnection | None = None
        try:
            async with asyncio.timeout(CONNECT_S):
                socket = await connect(self._url, max_size=1 << 20, ping_interval=None, close_timeout=LEAVING_S)
                await _greeted(socket)
        except BaseException as error:
            if socket is not None:
                socket.transport.abort()
            match error:
                case TimeoutError() if socket is not None:
                    raise PeerError(f"{WHO}'s server gives no greeting: it is busy with another call.") from None
                case TimeoutError() | OSError() | InvalidHandshake() | InvalidURI():
                    raise PeerError(f"{WHO}'s server cannot be reached.", retryable=True) from None
                case ConnectionClosed():
                    raise PeerError(f"{WHO}'s server closed the connection at once.", retryable=True) from None
                case _:
                    raise
        return MoshiSession(socket, self._lag_ms)


async def _greeted(socket: ClientConnection) -> None:
    """Returns at the handshake of either server."""
    while True:
        match _read(await socket.recv()):
            case moshi.Handshake():
                return
            case moshi.Fault(text):
                raise PeerError(f"{WHO}'s server refused ({text[:80]}).")
            case other:
                _log.info("message_before_the_handshake", kind=type(other).__name__)


def _read(message: str | bytes) -> moshi.Message:
    return moshi.read(message) if isinstance(message, bytes) else moshi.Malformed("a text message")


class MoshiSession:
    """A `DuplexSession`."""

    def __init__(self, socket: ClientConnection, lag_ms: int) -> None:
        self._socket, self._lag_ms = socket, lag_ms
        self._outbox = Outbox(2000 * BYTES_MS)
        self._out, self._in = OpusOut(moshi.RATE), OpusIn(moshi.RATE)
        self._stretches = Stretches(moshi.RATE)
        self._sent_ms = self._heard_ms = 0
        self._closed = False

    async def run(self, tell: Callable[[DuplexEvent], None]) -> None:
        """Returns after `Gone` was told."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._send())
                group.create_task(self._receive(tell))
        except* PeerError as errors:
            fault = str(errors.exceptions[0])
            _log.info("session_over", why=fault, dropped_ms=self._outbox.dropped_bytes // BYTES_MS)
            for event in self._stretches.end():
                tell(event)
            tell(Gone(fault))
        finally:
            self._socket.transport.abort()  # whatever is left in it, nobody wants

    def push(self, audio: bytes) -> None:
        self._outbox.audio(audio)

    def cut(self, reply: str, heard_ms: int) -> None:
        """It hears by itself that somebody speaks over it; what it still says of this is not told."""
        self._stretches.cut(reply)

    def began(self) -> None:
        """It hears."""

    def respond(self, instructions: str = "") -> None:
        """It speaks when it thinks fit, and takes no instructions."""

    def tell(self, message: Message) -> None:
        """It has no history but what it heard."""

    def tool_done(self, done: ToolDone) -> None:
        """It calls no tools."""

    def configure(self, instructions: str, tools: Sequence[ToolSpec]) -> None:
        """It takes no instructions."""

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            async with asyncio.timeout(LEAVING_S):
                await self._socket.close()
        except Exception as error:
            _log.info("connection_not_closed", error=type(error).__name__)
            self._socket.transport.abort()

    async def _send(self) -> None:
        while True:
            pcm = await self._outbox.next(moshi.FRAME_SAMPLES * 2)
            assert isinstance(pcm, bytes)
            for piece in self._out.push(pcm):
                await self._sent(moshi.audio(piece))
            self._sent_ms += len(pcm) // BYTES_MS
            if self._sent_ms - self._heard_ms > self._lag_ms:
                raise PeerError(f"{WHO} is {self._lag_ms / 1000:.1f} s behind the caller.")

    async def _sent(self, message: bytes) -> None:
        try:
            async with asyncio.timeout(SEND_S):
                await self._socket.send(message)
        except TimeoutError:
            raise PeerError(STUCK) from None
        except ConnectionClosed as error:
            raise _lost(error) from None

    async def _receive(self, tell: Callable[[DuplexEvent], None]) -> None:
        while True:
            try:
                message = _read(await self._socket.recv())
            except ConnectionClosed as error:
                raise _lost(error) from None
            for event in self._events(message):
                tell(event)

    def _events(self, message: moshi.Message) -> list[DuplexEvent]:
        match message:
            case moshi.Audio(ogg):
                return self._sound(ogg)
            case moshi.Text(text):
                return self._stretches.word(text)
            case moshi.Fault(text):
                raise PeerError(f"{WHO}'s server failed ({text[:80]}).")
            case moshi.Handshake() | moshi.Control() | moshi.Metadata() | moshi.Ping():
                return []
            case moshi.Malformed(reason):
                _log.info("message_ignored", reason=reason)
                return []

    def _sound(self, ogg: bytes) -> list[DuplexEvent]:
        try:
            pcm = self._in.push(ogg)
        except PeerError as error:
            _log.info("message_ignored", reason=str(error))
            pcm = b""
        self._heard_ms += len(pcm) // BYTES_MS
        return self._stretches.sound(pcm) if pcm else []


def _lost(error: ConnectionClosed) -> PeerError:
    closed: Any = error.rcvd
    code = closed.code if closed else 1006
    return PeerError(f"{WHO}'s server closed the connection ({code}).")

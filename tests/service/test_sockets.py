"""The short way of websocket messages: what takes it, and that nothing else does; against uvicorn and a real client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
import websockets
from websockets.asyncio.client import ClientConnection

from voicebot.service.sockets import HERE, MAX_KEPT, PILE, Sockets, adopt

MOST = 100_000


class App:
    """Gives back what it gets, and keeps it."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.may_read = asyncio.Event()
        self.may_read.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await self.may_read.wait()
            self.got.append(message.get("text") or message.get("bytes"))
            await send({"type": "websocket.send", **{k: v for k, v in message.items() if k != "type"}})


@pytest.fixture
async def app() -> App:
    return App()


def config(app: Any) -> uvicorn.Config:
    return uvicorn.Config(app, port=0, log_level="error", lifespan="off", ws=Sockets, ws_max_size=MOST,
                          ws_per_message_deflate=False)  # fmt: skip


@asynccontextmanager
async def connected(app: Any) -> AsyncIterator[ClientConnection]:
    server = uvicorn.Server(config(app))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with websockets.connect(f"ws://127.0.0.1:{port}/", compression=None, max_size=None) as connected:
            yield connected
        server.should_exit = True
        await serving


@pytest.fixture
async def socket(app: App) -> AsyncIterator[ClientConnection]:
    async with connected(app) as client:
        yield client


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 90_000])
async def test_messages_of_every_size_come_and_go_whole(socket: ClientConnection, size: int) -> None:
    await socket.send("é" + "x" * size)
    assert "é" + "x" * size == await socket.recv()


async def test_many_at_once_keep_their_order(socket: ClientConnection, app: App) -> None:
    said = [f"message {number}" for number in range(3 * PILE)]
    app.may_read.clear()
    for each in said:
        await socket.send(each)
    app.may_read.set()
    assert said == [await socket.recv() for _ in said]


async def test_what_is_no_plain_message_goes_the_long_way(socket: ClientConnection) -> None:
    await socket.send(["in ", "three ", "parts"])
    assert "in three parts" == await socket.recv()
    await socket.send(b"binary")
    assert b"binary" == await socket.recv()
    await asyncio.wait_for(await socket.ping(), 5)
    await socket.send("and plain again")
    assert "and plain again" == await socket.recv()


async def test_a_message_in_small_pieces_is_one(socket: ClientConnection) -> None:
    frame = b"\x81\xfe" + (300).to_bytes(2, "big") + b"\1\2\3\4" + bytes(b"x"[0] ^ (1 + at % 4) for at in range(300))
    for at in range(0, len(frame), 7):
        socket.transport.write(frame[at : at + 7])
        await asyncio.sleep(0.001)
    assert "x" * 300 == await socket.recv()


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x81\x82\0\0\0\0\xff\xfe", 1007),
        (b"\x81\x02hi", 1002),
        (b"\x80\x82\0\0\0\0hi", 1002),
        (b"\x81\xff" + (MOST + 1).to_bytes(8, "big") + bytes(4), 1009),
    ],
    ids=["no UTF-8", "not masked", "a continuation of nothing", "too long"],
)
async def test_what_is_wrong_closes_the_connection_as_the_standard_says(
    socket: ClientConnection, frame: bytes, code: int
) -> None:
    await socket.send("first")
    assert "first" == await socket.recv()
    socket.transport.write(frame)
    with pytest.raises(websockets.ConnectionClosed) as closed:
        await socket.recv()
    assert closed.value.rcvd
    assert code == closed.value.rcvd.code


# --- from one process to another: here both are this one


class Passing:
    """Accepts, and when told to gives the connection to another `Sockets`, which then gives back what it gets."""

    def __init__(self) -> None:
        self.now = asyncio.Event()
        self.done = asyncio.Event()
        self.could: bool | None = None
        self.got: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        self.connection: Sockets = scope["extensions"][HERE]
        await self.now.wait()
        handed = self.connection.hand_over()
        self.could = handed is not None
        if handed is None:
            self.done.set()
            return
        adopted = await adopt(handed, config(self))
        self.done.set()
        while (message := await adopted.receive())["type"] == "websocket.receive":
            self.got.append(message.get("text"))
            await adopted.send_text(message.get("text") or "")
        adopted.leave()


@pytest.mark.parametrize("uvloop", [False, True], ids=["asyncio", "uvloop"])
def test_nothing_is_lost_and_nothing_said_twice_when_a_connection_moves(uvloop: bool) -> None:
    async def move() -> None:
        app = Passing()
        async with connected(app) as socket:
            await socket.send("before")
            frame = b"\x81\x84\0\0\0\0half"
            socket.transport.write(frame[:7])
            await asyncio.sleep(0.05)
            app.now.set()
            await app.done.wait()
            socket.transport.write(frame[7:])
            await socket.send(["in ", "parts"])
            await asyncio.wait_for(await socket.ping(), 5)
            await socket.send("after")
            assert ["before", "half", "in parts", "after"] == [await socket.recv() for _ in range(4)]
        assert ["before", "half", "in parts", "after"] == app.got

    factory = pytest.importorskip("uvloop").new_event_loop if uvloop else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(move())


async def test_a_connection_moves_in_the_middle_of_a_message_in_parts() -> None:
    app = Passing()

    async def parts() -> AsyncIterator[str]:
        yield "one, "
        app.now.set()
        await app.done.wait()
        yield "two"

    async with connected(app) as socket:
        await socket.send(parts())
        assert "one, two" == await socket.recv()


async def test_one_that_has_said_too_much_does_not_move() -> None:
    app = Passing()
    async with connected(app) as socket:
        await socket.send("x" * MAX_KEPT)
        async with asyncio.timeout(5):
            while app.connection._kept is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        app.now.set()
        await app.done.wait()
    assert app.could is False


async def test_one_that_is_closed_does_not_move() -> None:
    app = Passing()
    async with connected(app) as socket:
        await socket.close()
        app.now.set()
        await app.done.wait()
    assert app.could is False

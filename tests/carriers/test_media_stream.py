"""The line over a websocket: clock, order, floods, a peer that does not read."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode, b64encode
from collections import deque
from contextlib import aclosing
from typing import Any

import pytest
from starlette.websockets import WebSocketDisconnect

from voicebot.audio.g711 import ulaw_decode, ulaw_encode
from voicebot.carriers.base import Audio, CallInfo, Digit, HungUp, LineEvent, Malformed, Played
from voicebot.carriers.browser import browser_line, show
from voicebot.carriers.media_stream import BUFFER_S, FLOOD, OWN_MESSAGES, RUSH, MediaClock, MediaStream
from voicebot.core import twilio as wire
from voicebot.core.timeline import EndReason, Record
from voicebot.errors import PeerError

INFO = CallInfo("call-1", "twilio", "+15550001111", "+15550002222", "CA1")
PCM = ulaw_decode(bytes(range(160)))


class Wall:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Socket:
    """The far end in memory. `stuck`: it does not read what is sent."""

    def __init__(self, *messages: str | bytes | None, stuck: bool = False) -> None:
        self.inbox: deque[str | bytes | None] = deque(messages)
        self.sent: list[dict[str, Any]] = []
        self.closed: tuple[int, str | None] | None = None
        self._reads, self._news = asyncio.Event(), asyncio.Event()
        if not stuck:
            self._reads.set()

    def comes(self, message: str | bytes | None) -> None:
        self.inbox.append(message)
        self._news.set()

    def reads(self) -> None:
        self._reads.set()

    async def receive(self) -> dict[str, Any]:
        while not self.inbox:
            self._news.clear()
            await self._news.wait()
        match self.inbox.popleft():
            case None:
                return {"type": "websocket.disconnect", "code": 1006}
            case bytes() as data:
                return {"type": "websocket.receive", "bytes": data}
            case text:
                return {"type": "websocket.receive", "text": text}

    async def send_text(self, data: str) -> None:
        await self._reads.wait()
        if self.closed:
            raise RuntimeError("the socket is closed")
        self.sent.append(json.loads(data))

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        await self._reads.wait()
        self.closed = (code, reason)
        self.comes(None)


async def _nothing(_: str) -> None: ...


def media(timestamp_ms: int, ulaw: bytes = bytes(range(160))) -> str:
    part = {"track": "inbound", "timestamp": str(timestamp_ms), "payload": b64encode(ulaw).decode()}
    return json.dumps({"event": "media", "streamSid": "MZ1", "media": part})


def mark(name: str) -> str:
    return json.dumps({"event": "mark", "streamSid": "MZ1", "mark": {"name": name}})


DIGIT = json.dumps({"event": "dtmf", "streamSid": "MZ1", "dtmf": {"digit": "7"}})
STOP = json.dumps({"event": "stop", "streamSid": "MZ1", "stop": {}})


def started() -> wire.Stream:
    stream = wire.Stream()
    stream.receive(json.dumps({"event": "start", "start": {"streamSid": "MZ1", "callSid": "CA1"}}))
    return stream


def line(socket: Socket, wall: Wall | None = None) -> MediaStream:
    return MediaStream(socket, started(), INFO, _nothing, _nothing, wall or Wall())


async def events(of: MediaStream) -> list[LineEvent]:
    async with asyncio.timeout(5):
        return [event async for event in of.events()]


async def settle() -> None:
    """Let the writer write."""
    for _ in range(20):
        await asyncio.sleep(0)


# --- in


async def test_audio_keys_and_marks_come_as_events_and_a_stop_is_the_callers_hang_up() -> None:
    socket = Socket(media(0), DIGIT, mark("3:160"), STOP)
    assert [Audio(PCM, 0), Digit("7"), Played(3, 160), HungUp("caller_hangup")] == await events(line(socket))


async def test_a_socket_that_closes_without_a_stop_is_lost_media() -> None:
    assert [HungUp("media_lost")] == await events(line(Socket(None)))


async def test_a_socket_that_fails_while_it_is_read_is_lost_media() -> None:
    class Broken(Socket):
        async def receive(self) -> dict[str, Any]:
            raise RuntimeError("Cannot call receive once a disconnect message has been received.")

    assert [HungUp("media_lost")] == await events(line(Broken()))


async def test_the_stream_counts_from_its_first_frame_whatever_its_time() -> None:
    found = await events(line(Socket(media(4000), media(4020), STOP)))
    assert [0, 160] == [event.at for event in found if isinstance(event, Audio)]


async def test_frames_out_of_order_come_in_order() -> None:
    found = await events(line(Socket(media(0), media(40), media(20), media(60), STOP)))
    assert [Audio(PCM, at) for at in (0, 160, 320, 480)] == found[:-1]


async def test_a_frame_that_comes_twice_is_heard_once() -> None:
    assert [Audio(PCM, 0), Audio(PCM, 160)] == (await events(line(Socket(media(0), media(0), media(20), STOP))))[:-1]


async def test_a_lost_frame_is_made_up_and_said_so() -> None:
    found = await events(line(Socket(media(0), media(40), media(60), media(80), STOP)))
    assert [(0, False), (160, True), (320, False), (480, False), (640, False)] == [
        (event.at, event.concealed) for event in found if isinstance(event, Audio)
    ]


async def test_what_waits_for_a_lost_frame_is_not_lost_when_the_caller_hangs_up() -> None:
    found = await events(line(Socket(media(0), media(40), STOP)))
    assert [0, 160, 320] == [event.at for event in found if isinstance(event, Audio)]


async def test_a_mark_that_we_did_not_give_is_malformed() -> None:
    assert [Malformed("foreign_mark"), HungUp("caller_hangup")] == await events(line(Socket(mark("hello"), STOP)))


async def test_a_bad_message_costs_only_itself() -> None:
    found = await events(line(Socket(media(0), "{", b"\x00", media(20), STOP)))
    assert [Audio(PCM, 0), Malformed("not_json"), Malformed("binary"), Audio(PCM, 160)] == found[:-1]


async def test_fifty_bad_messages_a_second_for_five_seconds_end_the_stream() -> None:
    socket = Socket(*["{"] * 1000)
    found = await events(line(socket))
    assert FLOOD == len([event for event in found if isinstance(event, Malformed)])
    assert (1008, "too many malformed messages") == socket.closed
    assert HungUp("media_lost") == found[-1]


async def test_as_many_bad_messages_in_a_longer_time_do_not() -> None:
    wall = Wall()
    socket = Socket(*["{"] * 1000, STOP)
    found = []
    async for event in line(socket, wall).events():
        found.append(event)
        wall.now_s += 0.021
    assert HungUp("caller_hangup") == found[-1]
    assert 1000 == found.count(Malformed("not_json"))


async def test_more_messages_than_a_phone_can_send_end_the_stream() -> None:
    socket = Socket(*(media(n * 20) for n in range(3 * RUSH)))
    found = await events(line(socket))
    assert RUSH == len([event for event in found if isinstance(event, Audio)])
    assert (1008, "too many messages") == socket.closed


async def test_whoever_listens_may_stop_at_any_time() -> None:
    of = line(Socket(media(0), media(20)))
    async with aclosing(of.events()) as stream:
        assert Audio(PCM, 0) == await anext(stream)
    of.send(PCM, 0, 160)  # nobody is there to take it, and nothing happens


async def test_a_listener_that_is_cancelled_leaves_no_writer_behind() -> None:
    async def listen() -> None:
        async for _ in line(Socket()).events():
            pass

    before = asyncio.all_tasks()
    listener = asyncio.ensure_future(listen())
    await settle()
    listener.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listener
    assert before == asyncio.all_tasks()


# --- the media clock


def test_the_clock_is_the_callers_audio() -> None:
    wall = Wall()
    clock = MediaClock(wall)
    clock.heard(8000)
    assert 1000 == clock.ms()
    wall.now_s += 0.2
    assert 1000 == clock.ms()


def test_while_the_stream_stalls_the_wall_moves_the_clock_by_the_excess() -> None:
    wall = Wall()
    clock = MediaClock(wall)
    clock.heard(8000)
    wall.now_s += 1.7
    assert 2500 == clock.ms()


def test_the_clock_never_runs_backwards() -> None:
    wall = Wall()
    clock = MediaClock(wall)
    clock.heard(8000)
    wall.now_s += 5.2
    assert 6000 == clock.ms()
    clock.heard(8160)
    assert 6000 == clock.ms()
    clock.heard(8000 * 7)
    assert 7000 == clock.ms()


def test_a_stream_that_never_begins_has_a_clock_too() -> None:
    wall = Wall()
    clock = MediaClock(wall)
    wall.now_s += 8.2
    assert 8000 == clock.ms()


# --- out


async def test_audio_goes_out_as_ulaw_with_a_mark_behind_it() -> None:
    socket = Socket()
    of = line(socket)
    listener = asyncio.ensure_future(events(of))
    of.send(PCM, 2, 160)
    await settle()
    socket.comes(STOP)
    await listener
    audio, after = socket.sent
    assert ulaw_encode(PCM) == b64decode(audio["media"]["payload"])
    assert {"event": "mark", "streamSid": "MZ1", "mark": {"name": "2:160"}} == after


@pytest.mark.parametrize(
    "error", [WebSocketDisconnect(1006), RuntimeError("closed"), ConnectionResetError()], ids=lambda e: type(e).__name__
)
async def test_a_peer_that_is_gone_while_we_speak_ends_the_stream_and_raises_nothing(error: Exception) -> None:
    class Gone(Socket):
        async def send_text(self, data: str) -> None:
            raise error

        async def close(self, code: int = 1000, reason: str | None = None) -> None:
            raise error

    socket = Gone()
    of = line(socket)
    listener = asyncio.ensure_future(events(of))
    await settle()
    of.send(PCM, 0, 160)
    await settle()
    of.send(PCM, 0, 320)
    socket.comes(None)
    assert [HungUp("media_lost")] == await listener
    await of.close("media_lost")


async def test_a_peer_that_does_not_read_blocks_nobody_and_is_given_up_after_ten_seconds_of_audio() -> None:
    socket = Socket(stuck=True)
    of = line(socket)
    listener = asyncio.ensure_future(events(of))
    await settle()
    sent_s = 0.0

    def speak() -> None:
        nonlocal sent_s
        for _ in range(1000):
            of.send(PCM * 5, 0, 160)
            sent_s += 0.1

    with pytest.raises(PeerError):
        speak()
    assert BUFFER_S == pytest.approx(sent_s, abs=0.11)
    socket.comes(media(0))
    socket.comes(STOP)
    assert [Audio(PCM, 0), HungUp("caller_hangup")] == await listener


async def test_clear_drops_what_has_not_left_and_tells_the_far_end() -> None:
    socket = Socket(stuck=True)
    of = line(socket)
    listener = asyncio.ensure_future(events(of))
    for sample in (160, 320, 480):
        of.send(PCM, 0, sample)
    await settle()  # the first is on its way, and stuck
    of.clear()
    of.send(PCM, 1, 160)
    socket.reads()
    await settle()
    socket.comes(STOP)
    await listener
    assert ["media", "clear", "media", "mark"] == [message["event"] for message in socket.sent]
    assert "1:160" == socket.sent[-1]["mark"]["name"]


async def test_holding_again_and_again_before_a_peer_that_does_not_read_fills_nothing() -> None:
    socket = Socket(stuck=True)
    of = line(socket)
    listener = asyncio.ensure_future(events(of))
    await settle()
    for epoch in range(5000):
        of.send(PCM, epoch, 160)
        of.clear()
    assert 2 >= len(of._out)
    socket.comes(STOP)
    await listener


async def test_after_a_clear_there_is_room_for_ten_seconds_again() -> None:
    of = line(Socket())
    for _ in range(2):
        for _ in range(90):
            of.send(PCM * 5, 0, 160)
        of.clear()


async def test_after_the_end_sending_is_harmless() -> None:
    socket = Socket(STOP)
    of = line(socket)
    await events(of)
    of.send(PCM, 0, 160)
    of.clear()
    of.say("{}")
    await of.hangup("bot_hangup")
    assert [] == socket.sent


async def test_closing_waits_for_what_was_said_last() -> None:
    socket = Socket()
    of = line(socket)
    listener = asyncio.ensure_future(events(of))
    of.send(PCM, 0, 160)
    await of.close("bot_hangup")
    await listener
    assert ["media", "mark"] == [message["event"] for message in socket.sent]
    assert (1000, "bot_hangup") == socket.closed


async def test_closing_before_a_peer_that_does_not_read_ends_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicebot.carriers.media_stream.CLOSE_S", 0.05)
    of = line(Socket(stuck=True))
    async with asyncio.timeout(5):
        await of.close("bot_hangup")


async def test_a_call_that_is_over_by_another_word_ends_for_that_reason() -> None:
    of = line(Socket())
    listener = asyncio.ensure_future(events(of))
    await of.lost(EndReason.CALLER_HANGUP)
    assert [HungUp("caller_hangup")] == await listener


# --- the browser page


async def browser(*doing: str) -> Socket:
    socket = Socket()
    of = browser_line(socket, started(), INFO)
    listener = asyncio.ensure_future(events(of))
    for what in doing:
        match what:
            case "show":
                show(of, Record(40, "turn", {"text": "hello"}))
                show(of, Record(60, "voice_started", {"onset_ms": 20}))
            case "clear":
                of.clear()
            case "hang up":
                await of.hangup("bot_hangup")
            case "transfer":
                await of.transfer("+12025550142")
    if not socket.closed:
        await settle()
        socket.comes(STOP)
    await listener
    return socket


async def test_the_page_sees_the_timeline_but_for_what_it_has_no_use_for() -> None:
    socket = await browser("show")
    assert [{"event": "record", "record": {"ms": 40, "kind": "turn", "text": "hello"}}] == socket.sent


async def test_a_clear_drops_no_record() -> None:
    assert ["record", "clear"] == [message["event"] for message in (await browser("show", "clear")).sent]


async def test_the_page_is_told_why_the_call_ends() -> None:
    socket = await browser("hang up")
    assert ([{"event": "ended", "reason": "bot_hangup"}], (1000, "bot_hangup")) == (socket.sent, socket.closed)


async def test_the_page_is_told_whom_it_would_be_put_through_to() -> None:
    socket = await browser("transfer")
    assert {"event": "transfer", "to": "+12025550142"} == socket.sent[0]
    assert (1000, "transfer") == socket.closed


async def test_records_for_a_page_that_does_not_read_are_dropped() -> None:
    of = browser_line(Socket(stuck=True), started(), INFO)
    for n in range(10 * OWN_MESSAGES):
        show(of, Record(n, "words", {"text": "x"}))
    assert OWN_MESSAGES == len(of._out)

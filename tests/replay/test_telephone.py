"""The measuring telephone: what a carrier plays, gives back and sends, and what it keeps of it."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection, serve

from voicebot.audio.g711 import ulaw_decode
from voicebot.errors import PeerError, UsageError
from voicebot.replay.echo import Echo
from voicebot.replay.faults import Faults, Uplink
from voicebot.replay.handset import SILENCE, Handset
from voicebot.replay.telephone import Address, calling, speech

TONE = bytes(range(160))
"""20 ms; every byte tells where it belongs."""


# --- the handset ------------------------------------------------------------------------------------------------


def test_what_is_sent_is_played_in_ticks_of_20_ms_and_what_is_missing_is_silence() -> None:
    handset = Handset()
    handset.tick()
    handset.media(TONE + TONE[:40])
    for _ in range(3):
        handset.tick()
    assert SILENCE + TONE + TONE[:40] + SILENCE[40:] + SILENCE == bytes(handset.heard)
    assert [(160, 200)] == [(run.at, run.samples) for run in handset.runs]


def test_a_mark_comes_back_at_the_tick_after_its_audio_and_at_once_where_nothing_plays() -> None:
    handset = Handset()
    assert ["early"] == handset.mark("early")
    handset.media(TONE * 2)
    assert [] == handset.mark("a")
    assert [[], [], ["a"]] == [handset.tick() for _ in range(3)]


def test_a_mark_behind_the_frame_that_is_playing_waits_for_its_end() -> None:
    handset = Handset()
    handset.media(TONE)
    handset.tick()
    assert [] == handset.mark("a")
    assert ["a"] == handset.tick()


def test_clear_empties_the_buffer_and_gives_back_every_mark_in_order() -> None:
    handset = Handset()
    handset.media(TONE * 3)
    handset.mark("a")
    handset.media(TONE)
    handset.mark("b")
    handset.tick()
    assert ["a", "b"] == handset.clear()
    assert 0 == handset.waiting_ms
    handset.tick()
    assert TONE + SILENCE == bytes(handset.heard)


def test_audio_after_clear_is_a_stretch_of_its_own_even_without_a_hole() -> None:
    handset = Handset()
    handset.media(TONE * 2)
    handset.tick()
    handset.clear()
    handset.media(TONE)
    handset.tick()
    assert [(0, 160), (160, 160)] == [(run.at, run.samples) for run in handset.runs]


# --- faults -----------------------------------------------------------------------------------------------------


def sent(faults: Faults, seed: int, frames: int = 300) -> list[tuple[int, bytes]]:
    """(tick, message) of all that left, a mark after every tenth frame."""
    uplink, left = Uplink(faults, seed), []
    for number in range(frames):
        gone = uplink.tick() + uplink.media(b"%d" % number)
        if number % 10 == 9:
            gone += uplink.mark(b"mark %d" % number)
        left += [(number, message) for message in gone]
    return left


def test_without_faults_everything_leaves_at_its_tick() -> None:
    assert [(n, b"%d" % n) for n in range(9)] == sent(Faults(), 1, 9)


@pytest.mark.parametrize(
    "faults",
    [
        Faults(loss=0.1),
        Faults(duplicate=0.1),
        Faults(reorder=0.1),
        Faults(jitter_ms=200),
        Faults(late_marks_ms=300),
        Faults(lost_marks=0.3),
    ],
)
def test_a_fault_is_the_same_for_the_same_seed_and_another_for_another(faults: Faults) -> None:
    assert sent(faults, 1) == sent(faults, 1)
    assert sent(faults, 1) != sent(faults, 2)
    assert sent(faults, 1) != sent(Faults(), 1)


def test_a_burst_holds_everything_up_and_lets_it_go_in_order() -> None:
    left = sent(Faults(burst_ms=100, burst_every_ms=1000), 1, 80)
    assert [b"%d" % n for n in range(80)] == [m for _, m in left if not m.startswith(b"mark")]
    assert [54] * 6 == [tick for tick, message in left if message in [b"%d" % n for n in range(49, 55)]]


def test_jitter_loses_nothing_and_keeps_the_order() -> None:
    numbers = [int(m) for _, m in sent(Faults(jitter_ms=200), 3) if not m.startswith(b"mark")]
    assert list(range(len(numbers))) == numbers
    assert len(numbers) > 280


def test_a_doubled_frame_comes_twice_and_a_swapped_one_after_the_next() -> None:
    doubled = [m for _, m in sent(Faults(duplicate=1), 1, 3)]
    assert [b"0", b"0", b"1", b"1", b"2", b"2"] == doubled
    assert [b"1", b"0", b"3", b"2"] == [m for _, m in sent(Faults(reorder=1), 1, 4)]


def test_a_late_mark_is_late_by_no_more_than_it_may_be_and_a_lost_one_never_comes() -> None:
    marks = [(tick, int(m.split()[1])) for tick, m in sent(Faults(late_marks_ms=100), 1) if m.startswith(b"mark")]
    assert len(marks) >= 29
    assert all(0 <= tick - number <= 6 for tick, number in marks)
    assert [] == [m for _, m in sent(Faults(lost_marks=1), 1) if m.startswith(b"mark")]


def test_a_slow_reader_reads_nothing_for_a_while_now_and_then() -> None:
    uplink, reads = Uplink(Faults(slow_ms=40, slow_every_ms=200), 1), []
    for _ in range(20):
        uplink.tick()
        reads.append(uplink.reads())
    assert ([True] * 7 + [False] * 2 + [True] * 8 + [False] * 2 + [True]) == reads


# --- the echo ---------------------------------------------------------------------------------------------------


def test_an_echo_comes_late_and_weaker_and_adds_to_what_the_caller_says() -> None:
    noise = np.random.default_rng(1).integers(-8000, 8000, 8000).astype("<i2")
    echo, parts = Echo(delay_ms=100, loss_db=20), []
    for at in range(0, 8000, 160):
        parts.append(np.frombuffer(echo.push(noise[at : at + 160].tobytes(), bytes(320)), "<i2"))
    heard = np.concatenate(parts).astype(np.float64)
    assert 0 == np.abs(heard[:800]).max()
    level_db = 20 * np.log10(np.std(heard[1600:]) / np.std(noise))
    assert -20 == pytest.approx(level_db, abs=2)
    spoken = np.full(160, 1000, "<i2")
    assert spoken.tobytes() == Echo(100, 20).push(bytes(320), spoken.tobytes())


# --- the whole telephone, against a small service ------------------------------------------------------------------


@dataclass
class Peer:
    """A service that does what a test says, and remembers what it was told."""

    url: str = ""
    got: list[dict[str, Any]] = field(default_factory=list)
    signed: str = ""

    def of(self, event: str) -> list[dict[str, Any]]:
        return [message for message in self.got if message["event"] == event]


Script = Callable[[Peer, Callable[..., Awaitable[None]]], Awaitable[None]]


@asynccontextmanager
async def peer(script: Script) -> AsyncIterator[Peer]:
    """`script(peer, say)` runs when `start` has come; the stream is closed when it is done."""
    told = Peer()

    async def one(socket: ServerConnection) -> None:
        told.signed = socket.request.headers.get("X-Signed", "") if socket.request else ""
        sid = ""

        async def say(event: str, **parts: Any) -> None:
            await socket.send(json.dumps({"event": event, "streamSid": sid} | parts))

        async def run() -> None:
            await script(told, say)
            await socket.close()

        running: asyncio.Task[None] | None = None
        async for text in socket:
            message = json.loads(text)
            told.got.append(message)
            if message["event"] == "start":
                sid = message["start"]["streamSid"]
                running = asyncio.ensure_future(run())
        if running:
            running.cancel()

    async with serve(one, "127.0.0.1", 0, compression=None) as server:
        told.url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/media"
        yield told


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def media(ulaw: bytes) -> dict[str, Any]:
    return {"media": {"payload": b64encode(ulaw).decode()}}


async def test_both_sides_are_kept_sample_for_sample() -> None:
    bot = np.random.default_rng(1).integers(0, 255, 160 * 12 + 57).astype(np.uint8).tobytes()
    caller = np.random.default_rng(2).integers(0, 255, 160 * 10).astype(np.uint8).tobytes()

    async def script(told: Peer, say: Callable[..., Awaitable[None]]) -> None:
        for at in range(0, len(bot), 700):
            await say("media", **media(bot[at : at + 700]))
        await say("mark", mark={"name": "end"})
        await until(lambda: told.of("mark"))
        await asyncio.sleep(30)

    async with peer(script) as told, calling(Address(told.url, {"X-Signed": "yes"}, {"token": "t"})) as phone:
        begins_ms = phone.plays(speech(caller))
        assert await phone.until(lambda: bool(told.of("mark")), 5000)
    assert "yes" == told.signed
    assert {"token": "t"} == told.of("start")[0]["start"]["customParameters"]
    run = phone.handset.runs[0]
    assert bot == bytes(phone.handset.heard[run.at : run.end])
    at = begins_ms * 8
    assert caller == bytes(phone.said[at : at + len(caller)])
    said = b"".join(b64decode(message["media"]["payload"]) for message in told.of("media"))
    assert bytes(phone.said[: len(said)]) == said
    stamps = [int(message["media"]["timestamp"]) for message in told.of("media")]
    assert [phone.first_ms + 20 * n for n in range(len(stamps))] == stamps
    assert ["stop"] == [message["event"] for message in told.got[-1:]]


async def test_marks_come_back_when_played_and_all_at_once_after_clear() -> None:
    async def script(told: Peer, say: Callable[..., Awaitable[None]]) -> None:
        for name in ("a", "b"):
            await say("media", **media(TONE * 5))
            await say("mark", mark={"name": name})
        await until(lambda: told.of("mark"))
        await say("media", **media(TONE * 500))
        await say("mark", mark={"name": "c"})
        await say("clear")
        await until(lambda: len(told.of("mark")) == 3)

    async with peer(script) as told, calling(Address(told.url)) as phone:
        assert not await phone.until(lambda: False, 5000)
        assert phone.over
    order = [m["mark"]["name"] if m["event"] == "mark" else m["event"] for m in told.got]
    assert ["a", "b", "c"] == [name for name in order if name in ("a", "b", "c")]
    assert 5 <= order[: order.index("a")].count("media")
    assert 1 == len(phone.clears)
    assert sum(run.samples for run in phone.handset.runs) < 160 * 15


async def test_what_a_carrier_would_not_understand_is_noted_and_ends_nothing() -> None:
    async def script(told: Peer, say: Callable[..., Awaitable[None]]) -> None:
        await say("media", media={"payload": "!"})
        await say("sing")
        await say("media", streamSid="another", **media(TONE))
        await say("media", **media(TONE))
        await say("mark", mark={"name": "end"})
        await until(lambda: told.of("mark"))

    async with peer(script) as told, calling(Address(told.url)) as phone:
        await phone.until(lambda: False, 5000)
    assert 3 == len(phone.strange)
    assert 160 == sum(run.samples for run in phone.handset.runs)


async def test_keys_are_sent_and_a_script_waits_for_audio_not_for_the_wall() -> None:
    async def script(told: Peer, say: Callable[..., Awaitable[None]]) -> None:
        await until(lambda: told.of("dtmf"))

    async with peer(script) as told, calling(Address(told.url)) as phone:
        assert await phone.waits(100)
        assert 5 == phone.ticks
        phone.presses("7")
        assert not await phone.waits(5000)
    assert ["7"] == [message["dtmf"]["digit"] for message in told.of("dtmf")]


async def test_the_echo_is_of_what_was_heard() -> None:
    bot = np.random.default_rng(1).integers(0, 127, 160 * 20).astype(np.uint8).tobytes()

    async def script(told: Peer, say: Callable[..., Awaitable[None]]) -> None:
        await say("media", **media(bot))
        await asyncio.sleep(30)

    async with peer(script) as told, calling(Address(told.url), echo=Echo(40, 6)) as phone:
        await phone.waits(500)
    loud = np.abs(np.frombuffer(ulaw_decode(bytes(phone.said)), "<i2")) > 100
    first = int(np.argmax(loud))
    begins = phone.handset.runs[0].at + 40 * 8
    assert begins <= first < begins + 160


async def test_nobody_there_and_a_place_far_away_are_errors() -> None:
    with pytest.raises(PeerError, match="does not take the call"):
        async with calling(Address("ws://127.0.0.1:1/media")):
            pass
    with pytest.raises(UsageError, match="not on this machine"):
        async with calling(Address("ws://192.0.2.1/media")):
            pass

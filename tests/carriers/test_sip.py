"""A SIP line over its worker's messages: audio without holes, what was played, and an end that always comes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from tests.audio.test_dtmf import tone
from voicebot.carriers.base import Audio, CallInfo, Digit, Hold, HungUp, LineEvent, Played
from voicebot.carriers.sip import WAITING_EVENTS, SipLine
from voicebot.core.sip_link import Heard, Kind, Message, Say, message
from voicebot.errors import PeerError

INFO = CallInfo("c1", "sip", "a", "b")
FRAME = b"\1\0" * 160


@dataclass
class Worker:
    """What a line needs of one."""

    sent: list[Message] = field(default_factory=list)

    def send(self, told: Message) -> None:
        self.sent.append(told)

    def kinds(self) -> list[Kind]:
        return [each.kind for each in self.sent]


def line(worker: Worker | None = None, telephone_event: bool = True) -> SipLine:
    found = SipLine(INFO, worker or Worker(), 7, lambda to: f"sip:{to}@pbx")  # type: ignore[arg-type]
    found.take(message(Kind.MEDIA, 7, codec="PCMU", remote="", telephone_event=telephone_event))
    return found


def heard(at: int, epoch: int = 0, sample: int = 0, pcm: bytes = FRAME) -> Message:
    return Message(Kind.HEARD, 7, Heard(at, epoch, sample, pcm).encode())


def ended(cause: str = "") -> Message:
    return message(Kind.ENDED, 7, code=200, reason="", cause=cause)


async def events(of: SipLine) -> list[LineEvent]:
    async with asyncio.timeout(2):
        return [event async for event in of.events()]


async def test_audio_comes_in_order_and_the_end_is_the_last() -> None:
    one = line()
    for told in (heard(0), heard(160), ended()):
        one.take(told)
    assert [Audio(FRAME, 0), Audio(FRAME, 160), HungUp("caller_hangup")] == await events(one)
    assert 40 == one.clock_ms()


async def test_a_hole_is_filled_with_silence_in_its_place() -> None:
    one = line()
    for told in (heard(0), heard(480), ended()):
        one.take(told)
    assert [Audio(FRAME, 0), Audio(bytes(640), 160, True), Audio(FRAME, 480)] == (await events(one))[:3]


async def test_what_was_played_is_told_when_it_has_moved() -> None:
    one = line()
    for told in (heard(0, 0, 160), heard(160, 0, 160), heard(320, 1, 80), ended()):
        one.take(told)
    assert [Played(0, 160), Played(1, 80)] == [e for e in await events(one) if isinstance(e, Played)]


async def test_a_caller_nobody_listens_to_costs_bounded_memory_and_keeps_its_place() -> None:
    one = line()
    for number in range(WAITING_EVENTS + 100):
        one.take(heard(number * 160))
    one.take(Message(Kind.DIGIT, 7, b"5"))
    one.take(ended())
    found = await events(one)
    assert [Digit("5"), HungUp("caller_hangup")] == found[-2:]
    assert (WAITING_EVENTS, 100) == (len(found) - 2, one.dropped)


async def test_more_than_ten_seconds_ahead_of_what_was_played_is_refused() -> None:
    worker = Worker()
    one = line(worker)
    one.send(FRAME, 0, 80_000)
    with pytest.raises(PeerError):
        one.send(FRAME, 0, 80_160)
    one.take(heard(0, 0, 160))
    one.send(FRAME, 0, 80_160)
    one.send(FRAME, 1, 160)
    assert [80_000, 80_160, 160] == [Say.decode(each.payload).sample for each in worker.sent]


async def test_hold_and_its_end_are_told_once() -> None:
    one = line()
    again = message(Kind.MEDIA, 7, codec="PCMU", remote="", telephone_event=True)
    for told in (Message(Kind.HELD, 7), again, again, ended()):
        one.take(told)
    assert [Hold(True), Hold(False)] == (await events(one))[:2]


@pytest.mark.parametrize(("telephone_event", "keys"), [(True, []), (False, [Digit("4")])])
async def test_tones_are_keys_only_where_keys_come_no_other_way(telephone_event: bool, keys: list[Digit]) -> None:
    one, pcm = line(telephone_event=telephone_event), tone("4", 100)
    for at in range(0, len(pcm) // 2 - 159, 160):
        one.take(heard(at, pcm=pcm[at * 2 : at * 2 + 320]))
    one.take(ended())
    assert keys == [each for each in await events(one) if isinstance(each, Digit)]


@pytest.mark.parametrize("digit", [b"", b"E", b"55", b"\xd9\xa3"])
async def test_what_is_no_key_is_none(digit: bytes) -> None:
    one = line()
    one.take(Message(Kind.DIGIT, 7, digit))
    one.take(ended())
    assert [HungUp("caller_hangup")] == await events(one)


async def test_a_worker_that_dies_and_media_that_stop_are_a_lost_call() -> None:
    one, other = line(), line()
    one.lost()
    other.take(ended("media_lost"))
    assert [[HungUp("media_lost")]] * 2 == [await events(one), await events(other)]


async def test_hanging_up_waits_for_the_far_end_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicebot.carriers.sip.HANGUP_S", 0.05)
    worker = Worker()
    one = line(worker)
    await one.hangup("bot_hangup")
    await one.hangup("bot_hangup")
    assert [Kind.HANGUP] == worker.kinds()
    assert [HungUp("media_lost")] == await events(one)
    one.send(FRAME, 0, 160)
    assert [Kind.HANGUP] == worker.kinds()


async def test_a_call_that_is_never_answered_is_not_waited_for_for_ever() -> None:
    silent = SipLine(INFO, Worker(), 7, str)  # type: ignore[arg-type]
    assert not await silent.answered(0.05)
    assert await line().answered(0.05)
    gone = SipLine(INFO, Worker(), 7, str)  # type: ignore[arg-type]
    gone.take(ended())
    assert not await gone.answered(0.05)


@pytest.mark.slow
async def test_a_transfer_nobody_reports_on_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicebot.carriers.sip.TRANSFER_S", 0.05)
    worker = Worker()
    with pytest.raises(PeerError):
        await line(worker).transfer("101")
    assert {"to": "sip:101@pbx"} == worker.sent[0].facts


async def test_a_transfer_that_still_rings_is_left_to_the_far_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicebot.carriers.sip.TRANSFER_S", 0.05)
    monkeypatch.setattr("voicebot.carriers.sip.HANGUP_S", 0.05)
    worker = Worker()
    one = line(worker)
    ringing = message(Kind.PASSED, 7, code=180, reason="Ringing", final=False)
    asyncio.get_running_loop().call_soon(one.take, ringing)
    await one.transfer("sip:desk@pbx")
    assert [Kind.PASS_ON, Kind.HANGUP] == worker.kinds()

"""RTP through a bad network: the call lives, what is heard is whole in time, the record says what it went through."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.peers.sip_caller import HOST, Caller, caller
from tests.service.world import TONE, Service, until
from tests.sip.world import needs_pjsua2, sip_service
from voicebot.carriers.base import Audio, Digit, LineEvent
from voicebot.core.timeline import decode

pytestmark = needs_pjsua2
Spoil = Callable[[Caller, bytes], None]
"""What becomes of a packet on its way."""


def losing(percent: int) -> Spoil:
    chance = random.Random(percent)
    return lambda phone, packet: None if chance.random() * 100 < percent else phone.send_rtp(packet)


def delaying(jitter_ms: int) -> Spoil:
    """Each packet its own delay, so that some overtake others."""
    chance = random.Random(jitter_ms)

    def send(phone: Caller, packet: bytes) -> None:
        asyncio.get_running_loop().call_later(chance.random() * jitter_ms / 1000, phone.send_rtp, packet)

    return send


async def talk(phone: Caller, spoil: Spoil) -> None:
    """Three seconds by way of the network."""
    loop, at = asyncio.get_running_loop(), asyncio.get_running_loop().time()
    payload = bytes(range(160))
    for _ in range(150):
        spoil(phone, phone.rtp(payload))
        at += 0.02
        await asyncio.sleep(max(0.0, at - loop.time()))


@asynccontextmanager
async def called(folder: Path, count: int) -> AsyncIterator[tuple[Service, list[Caller]]]:
    """So many calls that are up, at the same time."""
    async with sip_service(folder, max_calls_per_caller=count) as service, AsyncExitStack() as stack:
        phones = [await stack.enter_async_context(caller(service.settings.sip_port)) for _ in range(count)]
        assert [200] * count == [await phone.invite() for phone in phones]
        await until(lambda: count == len(service.runtime.opened))
        for info in service.runtime.opened:
            (folder / "calls" / info.call_id).mkdir(parents=True)
        yield service, phones


def got(service: Service, phone: Caller) -> list[LineEvent]:
    """What the bot had of this phone; its audio without a hole in time, whatever the network did."""
    events = service.runtime.events_of[phone.call_id]
    audio = [event for event in events if isinstance(event, Audio)]
    assert [each.at + len(each.pcm) // 2 for each in audio[:-1]] == [each.at for each in audio[1:]]
    return events


async def after(service: Service, phone: Caller, folder: Path) -> dict[str, float]:
    """Hang up; the figures in the record."""
    assert 200 == await phone.ask("BYE")
    [call_id] = [each.call_id for each in service.runtime.opened if each.carrier_call_id == phone.call_id]
    timeline = folder / "calls" / call_id / "timeline.jsonl"
    await until(timeline.exists)
    [record] = [each for each in decode(timeline.read_bytes().splitlines()) if each.kind == "network"]
    return record.fields


async def test_lost_packets_are_counted_and_the_call_goes_on(tmp_path: Path) -> None:
    shares = (1, 5, 10)
    async with called(tmp_path, len(shares)) as (service, phones):
        await asyncio.gather(*(talk(phone, losing(share)) for phone, share in zip(phones, shares, strict=True)))
        await asyncio.gather(*(phone.key("5") for phone in phones))
        await until(lambda: all(Digit("5") in got(service, phone) for phone in phones))
        await asyncio.sleep(1.1)  # figures are taken once a second
        for phone, share in zip(phones, shares, strict=True):
            figures = await after(service, phone, tmp_path)
            chance = random.Random(share)
            gone = sum(chance.random() * 100 < share for _ in range(150))
            assert gone - 1 <= figures["lost"] <= gone + 3
            assert "PCMU" == figures["codec"]


async def test_jitter_and_reordering_are_borne(tmp_path: Path) -> None:
    widths_ms = (20, 60, 120)
    async with called(tmp_path, len(widths_ms)) as (service, phones):
        await asyncio.gather(*(talk(phone, delaying(ms)) for phone, ms in zip(phones, widths_ms, strict=True)))
        await asyncio.sleep(1.1)
        for phone, jitter_ms in zip(phones, widths_ms, strict=True):
            spoken = [each for each in got(service, phone) if isinstance(each, Audio) and any(each.pcm)]
            assert len(spoken) > 75  # half of it, at the worst
            figures = await after(service, phone, tmp_path)
            assert 150 <= figures["packets"] + figures["lost"] + figures["duplicate"] <= 160
            assert figures["jitter_max_ms"] > jitter_ms / 20


async def test_a_phone_whose_address_changes_in_mid_call_is_heard_on(tmp_path: Path) -> None:
    async with sip_service(tmp_path) as service, caller(service.settings.sip_port) as phone:
        await phone.invite()
        await phone.speak(TONE * 10)
        loop = asyncio.get_running_loop()
        phone._rtp, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=(HOST, 0))
        await phone.speak(TONE * 20)
        await until(lambda: any(service.runtime.got(Audio)[-1].pcm))
        await phone.key("5")
        await until(lambda: [Digit("5")] == service.runtime.got(Digit))
        phone._rtp.close()
        assert 200 == await phone.ask("BYE")


async def test_a_stranger_that_sends_audio_into_a_call_is_not_heard(tmp_path: Path) -> None:
    async with (
        sip_service(tmp_path) as service,
        caller(service.settings.sip_port) as phone,
        caller(service.settings.sip_port) as stranger,
    ):
        await phone.invite()
        await phone.speak(bytes(320 * 20))  # the call's own audio first: silence
        stranger._media, stranger._time = phone._media, phone._time
        for _ in range(100):
            phone.send_rtp(phone.rtp(b"\xff" * 160))
            for _ in range(3):
                stranger.send_rtp(stranger.rtp(b"\x05" * 160))
            await asyncio.sleep(0.02)
        assert 0 == sum(any(each.pcm) for each in service.runtime.got(Audio))
        assert 200 == await phone.ask("BYE")

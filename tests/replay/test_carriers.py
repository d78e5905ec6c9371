"""Marks that are found again, what a caller makes of a bot's voice, and a telephone over SIP."""

from __future__ import annotations

import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from tests.service.world import TONE, until
from tests.sip.world import needs_pjsua2, sip_service
from voicebot.audio.g711 import ULAW_SILENCE, ulaw_decode, ulaw_encode
from voicebot.carriers.base import Audio, Digit
from voicebot.core.timeline import EndReason
from voicebot.errors import UsageError
from voicebot.replay import carriers_report, marks, shipped
from voicebot.replay.bench_sip import sip_cost
from voicebot.replay.carriers import CARRIERS, Found
from voicebot.replay.listener import Listener
from voicebot.replay.sip_telephone import sip_calling
from voicebot.replay.telephone import Speech, speech

ROOT = Path(__file__).parents[2]
LATE_MS = 30.0


class Heard:
    """A telephone that is over; everything was heard `LATE_MS` after its place."""

    over, ticks, began_s, late_ms = True, 0, 0.0, ()

    def __init__(self, heard: bytes) -> None:
        self.heard = bytearray(heard)

    def at_ms(self, sample: int) -> float:
        return LATE_MS + sample / 8

    def plays(self, what: Speech) -> int:
        return 0

    def presses(self, digit: str) -> None: ...

    async def until(self, true: Callable[[], bool], timeout_ms: float) -> bool:
        return true()

    async def waits(self, ms: float) -> bool:
        return False


def sound(*lengths_ms: int) -> bytes:
    """μ-law: silence and tone in turn."""
    tone = ulaw_encode(TONE * 50)
    parts = [(tone if turn % 2 else bytes((ULAW_SILENCE,)) * 32_000)[: ms * 8] for turn, ms in enumerate(lengths_ms)]
    return b"".join(parts)


def test_marks_are_found_to_the_sample_in_noise_and_at_any_level() -> None:
    ulaw, begins = marks.track(5, seed=3)
    assert len(begins) > 10
    assert begins == marks.found(ulaw)
    pcm = np.frombuffer(ulaw_decode(ulaw), "<i2") * 0.3 + np.random.default_rng(1).normal(0, 150, len(ulaw))
    assert begins == marks.found(ulaw_encode(pcm.astype("<i2").tobytes()))


def test_what_is_no_mark_is_not_taken_for_one() -> None:
    voice = np.random.default_rng(2).normal(0, 3000, 16_000).astype("<i2").tobytes()
    assert [] == marks.found(ulaw_encode(voice))
    assert [] == marks.found(sound(500, 500))
    assert [] == marks.found(b"")


def test_a_mark_that_is_lost_costs_itself_and_no_other() -> None:
    sent = [100.0, 500.0, 900.0]
    assert [(0, 50.0), (2, 60.0)] == marks.ways(sent, [1200, 7680], lambda sample: sample / 8)


def test_a_bot_is_quiet_since_its_last_sound_and_answers_with_its_next() -> None:
    bot = Listener(Heard(sound(200, 300, 700, 400, 600)))
    assert bot.speaks
    assert 600.0 == bot.quiet_ms
    assert LATE_MS + 200 == bot.first_ms(0)
    assert LATE_MS + 1200 == bot.first_ms(800)
    assert bot.first_ms(2000) is None


def test_a_bot_has_stopped_where_a_silence_begins_that_is_no_pause() -> None:
    bot = Listener(Heard(sound(100, 300, 200, 500, 900, 100)))
    assert LATE_MS + 1100 == bot.stopped_ms(350)  # the 200 ms before were a pause
    assert Listener(Heard(sound(100, 2000))).stopped_ms(300) is None


def test_what_comes_later_is_looked_at_later() -> None:
    phone = Heard(sound(300))
    bot = Listener(phone)
    assert not bot.speaks
    phone.heard += sound(0, 100)
    assert bot.speaks
    assert 0.0 == bot.quiet_ms


@needs_pjsua2
async def test_a_telephone_over_sip_hears_and_knows_when_speaks_presses_and_hangs_up(tmp_path: Path) -> None:
    async with sip_service(tmp_path) as service:
        async with sip_calling(service.settings.sip_port, "+15550001111", "+15550002222") as phone:
            bot = Listener(phone)
            assert await phone.until(lambda: bot.speaks, 5000)
            phone.plays(speech(ulaw_encode(TONE * 10)))
            phone.presses("5")
            assert await phone.waits(1500)
            greeting = bytes(phone.heard)
            begins = greeting.index(ulaw_encode(TONE)[:160])
            assert ulaw_encode(TONE * 5) in greeting
            assert 0 < phone.at_ms(begins) < phone.at_ms(begins + 1600) < 2000
            assert not phone.over
        await until(lambda: service.runtime.ended)
        assert [EndReason.CALLER_HANGUP] == service.runtime.ended
        assert [Digit("5")] == service.runtime.got(Digit)
        assert ulaw_decode(ulaw_encode(TONE * 3)) in b"".join(each.pcm for each in service.runtime.got(Audio))


@needs_pjsua2
async def test_a_telephone_over_sip_knows_that_the_bot_has_hung_up(tmp_path: Path) -> None:
    async with sip_service(tmp_path) as service:
        async with sip_calling(service.settings.sip_port, "+15550001111", "+15550002222") as phone:
            phone.presses("9")
            assert not await phone.until(lambda: False, 5000)
            assert phone.over
        await until(lambda: service.runtime.ended)
        assert [EndReason.BOT_HANGUP] == service.runtime.ended


def test_calls_are_added_up_and_what_is_over_its_aim_is_marked() -> None:
    sip, streams = (Found(carrier) for carrier in CARRIERS)
    sip.add(Found("", greeting_ms=[20.0], mouth_to_ear_ms=[40.0] * 15, ignored=1))
    sip.add(Found("", greeting_ms=[30.0], mouth_to_ear_ms=[70.0], ignored=1))
    console = Console(width=140, file=StringIO())
    console.print(carriers_report.table([sip, streams]))
    assert isinstance(console.file, StringIO)
    printed = console.file.getvalue()
    assert "25 ok / 30 ok (2)" in printed
    assert "40 ok / 70 over (16)" in printed
    assert 2 == sip.ignored
    assert "–" in printed


@needs_pjsua2
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_what_a_sip_call_costs_is_told_for_all_that_a_worker_takes() -> None:
    cost = await sip_cost(1.0)
    assert cost
    assert cost.calls >= 4
    assert cost.worker_ms > 0 < cost.service_ms


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"coffee/iced_mocha\.flac"):
        shipped.voices(tmp_path)
    with pytest.raises(UsageError, match="dialplans that ship are not in"):
        shipped.plans(tmp_path)
    assert set(shipped.SCRIPTS) == set(shipped.plans(ROOT / "dialplans"))
    assert all(clip.end_ms > clip.onset_ms for clip in shipped.voices(ROOT / "tests/data").values())

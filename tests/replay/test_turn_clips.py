"""What is played over the bot: every kind is there, at its level, with its onset in its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from voicebot.audio.g711 import ulaw_decode
from voicebot.errors import UsageError
from voicebot.replay import mixing
from voicebot.replay.turn_clips import INTERRUPTIONS, LEVELS_DBFS, Kind, clip, clips

FOLDER = Path(__file__).parent.parent / "data" / "turns"


def test_the_clips_that_ship_are_of_every_kind_the_same_each_time() -> None:
    found = clips(FOLDER, limit=2)
    assert set(Kind) == {each.kind for each in found}
    assert all(each.interrupts == (each.kind in INTERRUPTIONS) for each in found)
    assert found == clips(FOLDER, limit=2)
    assert {Kind.COUGH, Kind.KEYBOARD, Kind.MUSIC, Kind.ECHO} == {each.kind for each in found if each.made}


def test_a_clip_has_the_level_of_its_kind_and_says_where_its_sound_is() -> None:
    noise = np.random.default_rng(1).standard_normal(8000).astype(np.float32)
    sound = np.concatenate([np.zeros(4000, np.float32), noise * np.float32(0.3), np.zeros(4000, np.float32)])
    found = clip("noise", Kind.TELEVISION, sound)
    assert (200, 1200) == (found.onset_ms, found.end_ms)
    heard = np.frombuffer(ulaw_decode(found.speech.ulaw), "<i2").astype(np.float32) / 32768
    level_dbfs = 10 * np.log10(mixing.speech_power(heard, 8000))
    assert LEVELS_DBFS[Kind.TELEVISION] == pytest.approx(level_dbfs, abs=0.5)


def test_only_some_kinds_when_asked_and_an_error_where_there_is_nothing() -> None:
    assert {Kind.TELEVISION} == {each.kind for each in clips(FOLDER, 6, only="tele")}
    with pytest.raises(UsageError, match="no recording"):
        clips(FOLDER, 6, only="elephant")

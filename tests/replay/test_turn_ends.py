"""How ends of turns are measured: what counts as a pause, what as an end, and the figures."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from voicebot.audio.prosody import Prosody
from voicebot.core import dialplan
from voicebot.core.dialplan import Dialplan
from voicebot.engines import vad_silero, vad_webrtc
from voicebot.engines.base import EngineConfig, Vad
from voicebot.errors import UsageError
from voicebot.replay import mixing, turn_ends
from voicebot.replay.spoken_tasks import Recording
from voicebot.replay.turn_spans import Silence, Track, silences
from voicebot.replay.turn_tracks import ANYTHING, SPELLED, dictated, tracks

DATA = Path(__file__).parent.parent / "data"
COFFEE = Path(__file__).parents[2] / "dialplans" / "coffee.yaml"


@pytest.fixture(scope="module")
def coffee() -> Dialplan:
    return dialplan.parse(COFFEE.read_text(), str(COFFEE))


@pytest.fixture
async def vads() -> tuple[Vad, Vad]:
    silero = vad_silero.create(EngineConfig())
    await silero.start()
    return silero, vad_webrtc.create(EngineConfig())


def order() -> mixing.Sound:
    """An order without the silence around it."""
    sound = mixing.read(DATA / "coffee" / "iced_mocha.flac", 8000)
    loud = np.flatnonzero(np.abs(sound) > 0.1 * np.abs(sound).max())
    return sound[loud[0] : loud[-1]]


def quiet(ms: int) -> mixing.Sound:
    return np.asarray(np.random.default_rng(ms).standard_normal(ms * 8) * mixing.FLOOR, np.float32)


def heard(found: Sequence[mixing.Sound]) -> bytes:
    return mixing.telephone(np.concatenate(found))


# --- silences ------------------------------------------------------------------------------------------------------


async def test_silences_within_a_turn_are_pauses_and_the_last_is_the_end(vads: tuple[Vad, Vad]) -> None:
    pcm = heard([quiet(300), order(), quiet(900), order(), quiet(900)])
    found = list(silences(Track("g", "s", "p", pcm, ANYTHING), *vads))
    assert [None] == [s.pause_ms for s in found if s.pause_ms is None or s.at_ms == found[-1].at_ms]
    assert 700 < max(s.pause_ms or 0 for s in found) < 1000
    assert all(s.prosody and s.prosody.voiced_ms > 200 for s in found)
    assert sorted(len(s.turn_pcm) for s in found) == [len(s.turn_pcm) for s in found]
    assert all(s.second_ms is not None and abs(s.second_ms) < 400 for s in found if not s.pause_ms)


async def test_words_are_those_that_were_over_when_the_silence_was_heard(vads: tuple[Vad, Vad]) -> None:
    pcm = heard([quiet(300), order(), quiet(900), order(), quiet(900)])
    words = [("first", 1000), ("last", len(pcm) // 16 - 1000)]
    found = list(silences(Track("g", "s", "p", pcm, ANYTHING, words=words), *vads))
    assert "first" == next(s.text for s in found if (s.pause_ms or 0) > 700)
    assert "first last" == found[-1].text


async def test_where_others_speak_there_is_no_silence_to_judge(vads: tuple[Vad, Vad]) -> None:
    pcm = heard([quiet(300), order(), quiet(900)])
    whole = [(0, len(pcm) // 16)]
    assert [] == list(silences(Track("g", "s", "p", pcm, ANYTHING, whole, others_ms=whole), *vads))
    assert [] == list(silences(Track("g", "s", "p", pcm, ANYTHING, turns_ms=()), *vads))


# --- recordings ----------------------------------------------------------------------------------------------------


async def test_a_turn_of_a_stereo_call_ends_where_the_other_side_speaks(
    tmp_path: Path, coffee: Dialplan, vads: tuple[Vad, Vad]
) -> None:
    voice = order()
    rest = np.zeros(len(voice), np.float32)
    caller = np.concatenate([quiet(300), voice, quiet(800), voice, quiet(500), rest, quiet(900), voice, quiet(2000)])
    agent = np.concatenate([quiet(300), rest, quiet(800), rest, quiet(500), voice, quiet(900), rest, quiet(2000)])
    soundfile.write(tmp_path / "call.wav", np.stack([caller, agent], 1), 8000)
    call = Recording(tmp_path / "call.wav", "calls", "", "", {"activity_json": "x"})
    sides = {track.part: track for track in tracks([call], coffee, vads[0])}
    found = list(silences(sides["caller"], *vads))
    assert 1 == sum(s.pause_ms is None for s in found)
    assert any(700 < (s.pause_ms or 0) < 1400 for s in found)
    assert [] == list(sides["agent"].turns_ms or ())  # nobody answered it


async def test_a_meeting_is_one_track_for_each_speaker_and_joined_turns(
    tmp_path: Path, coffee: Dialplan, vads: tuple[Vad, Vad]
) -> None:
    soundfile.write(tmp_path / "m.wav", np.zeros(8000 * 20, np.float32), 8000)
    turns = [[1.0, 2.0, "A"], [2.5, 3.0, "A"], [4.0, 5.0, "B"], [6.0, 7.0, "A"], [18.0, 20.0, "B"]]
    meeting = Recording(tmp_path / "m.wav", "vad_ami", "", "", {"speaker_turns": turns})
    found = {track.speaker: track for track in tracks([meeting], coffee, vads[0])}
    assert [(1000, 3000), (6000, 7000)] == list(found["A"].turns_ms or ())
    assert [(4000, 5000)] == list(found["B"].turns_ms or ())


def test_numbers_are_made_of_one_speakers_digits_with_pauses_that_were_seen() -> None:
    digits = [Recording(DATA / "digits" / f"{d}.flac", "digits_fsdd", "one", d, {}) for d in ("two", "five", "nine")]
    whole = [r for d in ("zero one two three four five six seven eight nine".split()) for r in
             [Recording(digits[0].file, "digits_fsdd", "one", d, {})]]  # fmt: skip
    made = list(dictated(whole, [700]))
    assert 6 == len(made)
    assert {"one"} == {track.speaker for track in made}
    single = len(mixing.read(digits[0].file, 8000)) * 2
    assert 10 * (single + 60 * 16) + (300 + 3 * 700 + 800) * 16 == len(made[0].pcm)
    assert [] == list(dictated(whole, []))


# --- figures -------------------------------------------------------------------------------------------------------


def silence(pause_ms: int | None, speaker: str = "s", pitch: float = 0.0, second_ms: int | None = 0) -> Silence:
    prosody = Prosody(pitch, 0.0, 0.0, 0.0, -30.0, 1000)
    track = Track("answers", speaker, "p", b"", SPELLED)
    return Silence(track, 0, pause_ms, b"", prosody, "r a m", second_ms=second_ms)


def test_a_fixed_wait_cuts_off_what_pauses_longer_and_is_its_own_latency() -> None:
    found = [silence(ms) for ms in (300, 500, 700, 900)] + [silence(None)] * 3
    row = turn_ends.row("answers", "fixed", turn_ends.fixed, found)
    assert (4, 3, 0.5, 600.0) == (row.pauses, row.ends, row.cut, row.latency_ms)
    assert (0.75, 0.5) == (row.cut_at_300, row.cut_at_600)
    assert (900.0, 900.0) == (row.latency_at_5, row.latency_at_10)


def test_groups_stand_alone_and_together() -> None:
    read = replace(silence(None), track=Track("read aloud", "s", "p", b"", ANYTHING))
    call = replace(silence(None), track=Track("two-party", "s", "p", b"", ANYTHING))
    answer = silence(None)
    assert {
        "read aloud": [read],
        "two-party": [call],
        "answers": [answer],
        "with words": [answer],
        "sound alone": [call],
        "all turns": [call, answer],
    } == turn_ends.groups([read, call, answer])


def test_an_engine_that_hears_no_end_cuts_nobody_off() -> None:
    found = [silence(900, second_ms=None), silence(900, second_ms=100), silence(None, second_ms=-100)]
    row = turn_ends.row("answers", "second", turn_ends.second_engine, found)
    assert (0.5, 500.0) == (row.cut, row.latency_ms)


def test_a_speakers_silences_are_one_call_whose_habits_are_learned() -> None:
    waits = turn_ends.adaptive(turn_ends.Weights(), words=False)([silence(1200)] * 4)
    assert sorted(waits) == waits
    assert waits[0] + 100 < waits[-1]


def test_without_words_only_their_constant_is_left() -> None:
    assert [600.0] == turn_ends.adaptive(turn_ends.NONE, words=False)([silence(None)])


def test_the_fit_finds_that_a_raised_voice_goes_on() -> None:
    chance = np.random.default_rng(1)
    found = [silence(600, pitch=abs(chance.normal(1.0))) for _ in range(60)]
    found += [silence(None, pitch=chance.normal(-0.5, 0.5)) for _ in range(60)]
    weights, errors = turn_ends.fit(found)
    assert 50 < weights.list
    assert 0 < errors["list"] < weights.list
    assert abs(weights.drawn) < 5


@given(
    st.lists(st.tuples(st.floats(0, 5000), st.none() | st.integers(200, 3000)), min_size=1, max_size=20),
    st.integers(-2000, 2000),
    st.integers(0, 2000),
)
def test_waiting_longer_never_cuts_off_more_and_is_never_sooner(
    found: list[tuple[float, int | None]], added: int, more: int
) -> None:
    waits = np.array([wait for wait, _ in found])
    pauses = np.array([np.nan if pause is None else pause for _, pause in found])
    cut, latency = turn_ends.point(waits, pauses, added)
    less, later = turn_ends.point(waits, pauses, added + more)
    assert less <= cut
    assert later >= latency


# --- a measurement -------------------------------------------------------------------------------------------------


async def test_a_folder_is_measured_with_real_words(tmp_path: Path, coffee: Dialplan) -> None:
    manifest(tmp_path, [DATA / "coffee" / "iced_mocha.flac"])
    found = await turn_ends.gather(tmp_path, coffee)
    assert [None] == [s.pause_ms for s in found][-1:]
    assert "mocha" in found[-1].text
    assert 350 == turn_ends.adaptive(turn_ends.NONE)(found)[-1]


async def test_a_folder_that_tells_no_ends_is_refused(tmp_path: Path, coffee: Dialplan) -> None:
    manifest(tmp_path, [])
    with pytest.raises(UsageError, match="tells where turns end"):
        await turn_ends.gather(tmp_path, coffee)


def manifest(folder: Path, files: Sequence[Path]) -> None:
    with (folder / "MANIFEST.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "category", "speaker", "transcript", "labels"])
        writer.writerows([file, "commands_s2i", "", "", json.dumps({})] for file in files)

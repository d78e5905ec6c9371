"""Sound files, pairs, call folders and transcripts, opened."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voicebot.audio import g711
from voicebot.call.recorder import Recorder
from voicebot.core.timeline import Record
from voicebot.replay.inputs import sound
from voicebot.replay.inputs.load import Told, load, recordings
from voicebot.replay.recording import Said, at_phone_rate
from voicebot.replay.verdict import Side


def tone(seconds: float, rate: int = 8000, after_s: float = 0.0, hertz: int = 440) -> np.ndarray:
    wave = 8000 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)
    return np.concatenate([np.zeros(int(after_s * rate)), wave]).astype(np.int16)


def both(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    size = max(len(left), len(right))
    return np.stack([np.pad(each, (0, size - len(each))) for each in (left, right)], 1)


def room(samples: np.ndarray) -> np.ndarray:
    """With the noise of a room under it."""
    return (samples + np.random.default_rng(1).normal(0, 30, len(samples))).astype(np.int16)


@pytest.mark.parametrize(
    ("name", "subtype"),
    [("a.wav", "PCM_16"), ("a.flac", "PCM_16"), ("a.wav", "PCM_24"), ("a.wav", "FLOAT"), ("a.aiff", "PCM_16")],
)
def test_what_was_recorded_is_decoded_to_the_sample(name: str, subtype: str, tmp_path: Path) -> None:
    samples = both(tone(0.5, 16000), tone(0.7, 16000, hertz=300))
    written = samples / 32768 if subtype == "FLOAT" else samples
    soundfile.write(tmp_path / name, written, 16000, subtype=subtype)
    assert np.array_equal(samples, sound.read(tmp_path / name).samples)


@pytest.mark.parametrize(
    ("subtype", "decode", "encode"),
    [("ULAW", g711.ulaw_decode, g711.ulaw_encode), ("ALAW", g711.alaw_decode, g711.alaw_encode)],
)
def test_g711_in_a_wav_is_decoded_as_on_the_line(subtype: str, decode: object, encode: object, tmp_path: Path) -> None:
    samples = tone(0.5)
    soundfile.write(tmp_path / "a.wav", samples, 8000, subtype=subtype)
    found = sound.read(tmp_path / "a.wav").samples[:, 0]
    assert np.abs(found.astype(int) - samples).max() < 600
    assert np.array_equal(found, np.frombuffer(decode(encode(found.tobytes())), "<i2"))  # type: ignore[operator]


def test_mp3s_delay_is_taken_off_to_the_sample(tmp_path: Path) -> None:
    burst = np.concatenate([tone(0.02, 16000, 1.0), np.zeros(16000, np.int16)])
    soundfile.write(tmp_path / "a.mp3", burst, 16000, format="MP3")
    found = sound.read(tmp_path / "a.mp3")
    where = np.correlate(found.samples[:, 0].astype(float), burst[16000:16320].astype(float), "valid")
    assert 16000 == int(where.argmax())
    assert 0.0 == found.uncertainty_ms


def test_an_mp3_that_does_not_tell_its_delay_says_by_how_much_it_may_be_off(tmp_path: Path) -> None:
    burst = np.concatenate([tone(0.02, 16000, 1.0), np.zeros(16000, np.int16)])
    soundfile.write(tmp_path / "tagged.mp3", burst, 16000, format="MP3")
    whole = (tmp_path / "tagged.mp3").read_bytes()
    second = whole.index(whole[:2], 4)  # the tag is a frame of its own
    (tmp_path / "a.mp3").write_bytes(whole[second:])
    found = sound.read(tmp_path / "a.mp3")
    where = np.correlate(found.samples[:, 0].astype(float), burst[16000:16320].astype(float), "valid")
    assert 16000 == int(where.argmax())
    assert 36.0 == found.uncertainty_ms
    assert "may be off by 36 ms" in found.notes[0]


def test_a_side_that_is_told_is_believed(tmp_path: Path) -> None:
    left, right = tone(0.5), tone(0.5, hertz=300)
    soundfile.write(tmp_path / "a.wav", both(left, right), 8000)
    [call] = load(tmp_path / "a.wav", Told(caller="right"))
    assert "told" == call.source.sides
    assert np.array_equal(right, call.caller if call.caller is not None else 0)


@pytest.mark.parametrize("swapped", [False, True])
def test_the_side_that_is_digitally_silent_between_words_is_the_bot(swapped: bool, tmp_path: Path) -> None:
    person, bot = room(both(tone(0.5, after_s=1), tone(2.0))[:, 0]), tone(0.6)
    bot = np.concatenate([bot, tone(0.5, after_s=1.0)])
    sides = (bot, person) if swapped else (person, bot)
    soundfile.write(tmp_path / "a.wav", both(*sides), 8000)
    [call] = load(tmp_path / "a.wav")
    assert call.source.sides.startswith("found: the other side is digitally silent")
    assert call.bot is not None
    assert np.array_equal(bot, call.bot[: len(bot)])


@pytest.mark.parametrize("swapped", [False, True])
def test_who_speaks_first_answered_the_call(swapped: bool, tmp_path: Path) -> None:
    agent, person = room(both(tone(1.0), tone(3.0))[:, 0]), room(tone(1.0, after_s=2.0))
    soundfile.write(tmp_path / "a.wav", both(*((agent, person) if swapped else (person, agent))), 8000)
    [call] = load(tmp_path / "a.wav")
    assert call.source.sides.startswith("found: the other side speaks first")
    assert np.array_equal(person, call.caller if call.caller is not None else 0)


def test_a_twilio_recording_has_the_caller_first(tmp_path: Path) -> None:
    caller, bot = tone(1.0), room(tone(1.0, after_s=2.0))
    soundfile.write(tmp_path / f"RE{'0a' * 16}.wav", both(caller, bot), 8000)
    [call] = load(next(tmp_path.iterdir()))
    assert call.source.sides.startswith("as Twilio records")
    assert call.caller is not None
    assert np.array_equal(caller, call.caller[: len(caller)])


def test_mono_and_two_channels_alike_are_everybody_in_one(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(0.5), 8000)
    soundfile.write(tmp_path / "b.wav", both(tone(0.5), tone(0.5)), 8000)
    for path in recordings(tmp_path):
        [call] = load(path)
        assert call.mixed
        assert call.bot is None


def test_two_files_of_different_rates_are_one_call(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(0.5), 8000)
    soundfile.write(tmp_path / "b.flac", tone(0.5, 16000), 16000)
    [call] = load(tmp_path / "a.wav", Told(bot=tmp_path / "b.flac"))
    assert ("told", 8000) == (call.source.sides, call.rate)
    assert call.bot is not None
    assert abs(tone(0.5)[100:-100].astype(int) - call.bot[100:-100]).max() < 80


def test_a_call_of_ours_comes_with_its_timeline_and_its_turns(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "20260101-abc")
    recorder.note(Record(0, "call_started", {"dialplan": "coffee"}))
    recorder.note(Record(400, "digits", {"digits": "7"}))
    recorder.caller(tone(0.5).tobytes(), 0)
    recorder.bot(tone(0.4, hertz=300).tobytes(), 4000)
    recorder.turn(b'{"at": 0, "event": "Answered"}\n')
    recorder.close()
    [call] = load(tmp_path / "20260101-abc")
    assert ["call_started", "digits"] == [record.kind for record in call.records]
    assert [("dtmf", "7")] == [(event.kind, event.text) for event in call.events]
    assert b"Answered" in call.turn_log
    assert np.array_equal(tone(0.5), call.caller if call.caller is not None else 0)


def test_a_call_that_was_killed_is_read_as_far_as_it_was_written(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "call")
    recorder.caller(tone(2.0).tobytes(), 0)
    recorder.flush(16000)  # and no close
    [call] = load(tmp_path / "call")
    assert 1500 == call.duration_ms


def test_a_folder_is_every_recording_under_it(tmp_path: Path) -> None:
    Recorder(tmp_path / "calls" / "one").close()
    soundfile.write(tmp_path / "b.wav", tone(0.1), 8000)
    (tmp_path / "b.txt").write_text("hello")
    (tmp_path / "notes.md").write_text("nothing")
    assert ["b.wav", "one"] == [path.name for path in recordings(tmp_path)]


def test_at_the_telephones_rate_nothing_moves(tmp_path: Path) -> None:
    burst = tone(0.1, 48000, 0.5)
    soundfile.write(tmp_path / "a.wav", both(burst, burst // 2), 48000)
    [call] = load(tmp_path / "a.wav")
    phone = at_phone_rate(call)
    assert phone.caller is not None
    assert 4000 == pytest.approx(int(np.flatnonzero(np.abs(phone.caller) > 800)[0]), abs=8)


VTT = """WEBVTT

1
00:00:01.000 --> 00:00:02.500
<v Agent>Hello, what can I do?

00:03.000 --> 00:04.000 align:start
<v Customer>A latte <b>please</b>
"""
STM = """;; a comment
call 1 agent 1.0 2.5 <o,f0> Hello, what can I do?
call 1 caller 3.0 4.0 A latte please
call 1 caller 4.0 9.0 ignore_time_segment_in_scoring
"""
JSON = """{"segments": [{"speaker": "agent", "text": "Hello, what can I do?", "start": 1.0, "end": 2.5},
  {"speaker": "customer", "text": "A latte please", "start_ms": 3000, "end_ms": 4000}]}"""
TEXT = "Bot: Hello, what can I do?\nCaller: A latte please\n"


@pytest.mark.parametrize(("name", "text"), [("a.vtt", VTT), ("a.stm", STM), ("a.json", JSON), ("a.txt", TEXT)])
def test_a_transcript_beside_the_recording_is_its_reference(name: str, text: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(0.5), 8000)
    (tmp_path / name).write_text(text)
    [call] = load(tmp_path / "a.wav")
    times = (None,) * 4 if name == "a.txt" else (1000, 2500, 3000, 4000)
    bot: Side = "bot"
    expected = (Said("Hello, what can I do?", bot, *times[:2]), Said("A latte please", "caller", *times[2:]))
    assert expected == call.reference


def test_names_that_tell_no_side_are_people_in_order(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(0.5), 8000)
    (tmp_path / "a.txt").write_text("Diane: Hello?\nSheila: Oh, hello.\nDiane: Hi: you\n")
    [call] = load(tmp_path / "a.wav")
    assert ["bot", "caller", "bot"] == [said.side for said in call.reference]


@pytest.mark.slow
def test_a_long_recording_is_not_held_in_memory(tmp_path: Path) -> None:
    """An hour and a half at 8 kHz, two channels: 173 MB of samples."""
    with soundfile.SoundFile(tmp_path / "long.flac", "w", 8000, 2, "PCM_16") as file:
        for _ in range(90):
            file.write(both(tone(60.0), tone(30.0)))
    code = (
        "import sys; from pathlib import Path; from voicebot.replay.inputs.load import load\n"
        "[call] = load(Path(sys.argv[1])); assert call.duration_ms == 5_400_000\n"
        "[peak] = [line for line in open('/proc/self/status') if line.startswith('VmHWM')]\n"
        "print(peak.split()[1])"  # not ru_maxrss, which after an exec still has the parent's peak in it
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "long.flac")], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 220_000  # KiB

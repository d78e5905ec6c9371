"""The record of a call survives whatever happens to the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from voicebot.call.recorder import SNAP, Recorder, repair
from voicebot.core.timeline import Record, decode


def ramp(samples: int, start: int = 1) -> bytes:
    return np.arange(start, start + samples, dtype="<i2").tobytes()


def sound(folder: Path) -> np.ndarray:
    with wave.open(str(folder / "audio.wav")) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)


def test_caller_left_and_bot_right_at_the_sample_where_it_was_heard(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    for at in range(0, 8000, 160):
        recorder.caller(ramp(160, at + 1), at)
        if at + 160 == 4800:
            recorder.bot(ramp(640), end=4800)
        recorder.flush(at + 160)
    recorder.close()

    both = sound(tmp_path)
    assert list(range(1, 8001)) == both[:, 0].tolist()
    assert list(range(1, 641)) == both[4160:4800, 1].tolist()
    assert not both[:4160, 1].any()
    assert not both[4800:, 1].any()


def test_acknowledgements_that_jitter_do_not_tear_the_bot_apart(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.caller(bytes(16000), 0)
    recorder.bot(ramp(640, 1), end=1640)
    recorder.bot(ramp(640, 641), end=2280 + SNAP - 1)
    recorder.bot(ramp(640, 1281), end=2920 - SNAP)
    recorder.close()

    assert list(range(1, 1921)) == sound(tmp_path)[1000:2920, 1].tolist()


def test_a_hole_in_the_callers_audio_is_silence(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.caller(ramp(160), 0)
    recorder.caller(ramp(160), 480)
    recorder.close()

    left = sound(tmp_path)[:, 0].tolist()
    assert [*range(1, 161), *[0] * 320, *range(1, 161)] == left


def test_a_full_disk_ends_the_recording_and_not_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(tmp_path)
    notes: list[Record] = []
    recorder._watch = notes.append

    class Full:
        def write(self, _: bytes) -> int:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            pass

    monkeypatch.setattr(recorder, "_audio", Full())
    recorder.caller(bytes(16000), 0)
    recorder.flush(8000)
    recorder.caller(bytes(16000), 8000)
    recorder.close()

    assert [n.fields["text"] for n in notes] == ["recording stopped: No space left on device"]


KILLED = """
import sys, time
from pathlib import Path
from voicebot.call.recorder import Recorder
from voicebot.core.timeline import Record
recorder = Recorder(Path(sys.argv[1]))
for n in range(200):
    recorder.caller(b"\\1\\1" * 160, n * 160)
    if n % 12 == 0:
        recorder.flush(n * 160)
    if n % 50 == 49:
        recorder.note(Record(n * 20, "turn", {"turn": n // 50, "text": "words"}))
recorder._timeline.write(b'{"ms": 4000, "kind": "tu')
print("ready", flush=True)
time.sleep(30)
"""


def test_a_killed_process_loses_at_most_a_second_of_audio_and_no_turn(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()

    seconds = repair(tmp_path)

    assert 3.0 <= seconds <= 4.0, "four seconds were on the line"
    assert len(sound(tmp_path)) == seconds * 8000
    turns = [r.fields["turn"] for r in decode((tmp_path / "timeline.jsonl").read_bytes().splitlines())]
    assert turns == [0, 1, 2, 3]


def test_repairing_nothing_is_nothing(tmp_path: Path) -> None:
    assert repair(tmp_path) == 0.0

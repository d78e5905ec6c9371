"""A recording heard again by today's ears."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from tests.replay.recorded_calls import NO, call, channel, settings, taken, two_nos
from voicebot.carriers.wavline import read
from voicebot.core.timeline import EndReason, Record, decode
from voicebot.errors import UsageError
from voicebot.replay.clock import run
from voicebot.replay.inputs.load import load
from voicebot.replay.plans import plan_of
from voicebot.replay.recording import CallAudio
from voicebot.replay.rehear import Heard, final_ms, keys, led_by_model, rehear, started_at


def again(recorded: CallAudio, folder: Path, out: str = "again", plan: str = "shop") -> tuple[Heard, list[Record]]:
    """What became of it, and its new timeline."""
    world = settings(folder)
    found = plan_of(recorded, world, plan) if plan else None
    heard = run(rehear(recorded, found[0] if found else None, world, folder / out))
    return heard, records(folder / out)


def records(folder: Path) -> list[Record]:
    return list(decode((folder / "timeline.jsonl").read_bytes().splitlines()))


def turns(found: list[Record]) -> list[tuple[str, int, int]]:
    """(words, end of the voice, when the turn was taken) of each."""
    return [(r.fields["text"], r.fields["end_ms"], r.ms) for r in found if r.kind == "turn"]


def digest(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


def test_the_same_recording_gives_the_same_bytes(tmp_path: Path) -> None:
    again(two_nos(), tmp_path, "once")
    again(two_nos(), tmp_path, "twice")

    assert {"audio.wav", "timeline.jsonl", "turns.jsonl"} == set(digest(tmp_path / "once"))
    assert digest(tmp_path / "once") == digest(tmp_path / "twice")


def test_a_call_of_ours_is_heard_as_it_was(tmp_path: Path) -> None:
    folder = taken(tmp_path, settings(tmp_path))

    heard, found = again(load(folder)[0], tmp_path)

    assert ["no", "no"] == [text for text, _, _ in turns(found)]
    assert turns(records(folder)) == turns(found)
    assert EndReason.CALLER_HANGUP is heard.reason, "the recording ends; the bot of then hangs up no more"


def test_what_the_caller_says_is_understood_and_the_bot_of_then_answers_when_it_did(tmp_path: Path) -> None:
    heard, found = again(two_nos(), tmp_path)

    first, second = turns(found)
    assert "no" == first[0]
    assert abs(3.68 - first[1] / 1000 + 0.42) < 0.1, "the end of the voice"
    assert 350 <= first[2] - first[1] <= 400
    begun = [r.ms for r in found if r.kind == "heard_from"]
    assert all(abs(want - ms) <= 40 for want, ms in zip((100, 5000, 10600), begun, strict=True))
    assert 12.0 == heard.media_s
    assert second[1] > 8000


def test_a_recording_of_another_system_needs_no_dialplan(tmp_path: Path) -> None:
    speech = np.frombuffer(read(NO.with_name("iced_coffee.flac")), "<i2")
    _, found = again(call(channel(8, (1.0, speech.tobytes())), None), tmp_path, plan="")

    assert [""] == [text for text, _, _ in turns(found)], "a turn, and no words"


def test_where_all_voices_are_in_one_channel_nobody_is_heard_again(tmp_path: Path) -> None:
    mixed = CallAudio("mono", two_nos().source, 8000, channel(1), None, mixed=True)

    with pytest.raises(UsageError, match="no channel that is the caller's alone"):
        again(mixed, tmp_path)


def test_keys_are_pressed_when_they_were_and_secret_ones_cannot_be() -> None:
    pressed = [Record(900, "digits", {"digits": "2"}), Record(700, "digits", {"digits": "1"})]
    hidden = Record(950, "digits", {"digits": "•"})

    assert [(700, "1"), (900, "2")] == keys(call(channel(1), None, *pressed, hidden))


def test_a_key_takes_a_turn_again(tmp_path: Path) -> None:
    recorded = call(channel(8), channel(8, (0.1, bytes(3200))), Record(3000, "digits", {"digits": "1"}))
    _, found = again(recorded, tmp_path)

    assert ["1"] == [r.fields["digits"] for r in found if r.kind == "digits"]
    assert [3000] == [r.ms for r in found if r.kind == "digits"]


def test_the_recording_tells_what_the_recogniser_is_charged_and_when_the_call_was() -> None:
    words = [Record(1, "words", {"text": "a", "final": True, "took_ms": took}) for took in (30, 10, 50)]
    began = Record(0, "call_started", {"started_at": "2026-02-03T04:05:06.000+00:00"})

    assert (30, 10) == (final_ms(words), final_ms([]))
    assert ("2026-02-03T04:05:06.000+00:00", "2026-01-05T09:00:00+00:00") == (started_at([began]), started_at([]))


def test_a_call_that_a_language_model_led_is_heard_as_one_in_which_anything_may_be_said(tmp_path: Path) -> None:
    began = Record(0, "call_started", {"dialplan": "shop", "engines": {"llm": "openai, scripted"}})
    recorded = two_nos()
    made = call(recorded.caller, recorded.bot, began)  # type: ignore[arg-type]
    _, found = again(made, tmp_path)

    assert led_by_model(made)
    assert not led_by_model(recorded)
    assert ["no", "no"] == [text for text, _, _ in turns(found)]


@pytest.mark.slow
def test_five_minutes_twice_give_the_same_bytes(tmp_path: Path) -> None:
    no = read(NO)
    caller = channel(300, *((at, no) for at in range(5, 290, 10)))
    long = call(caller, channel(300, (0.1, bytes(3200))))

    heard, _ = again(long, tmp_path, "once")
    again(long, tmp_path, "twice")

    assert digest(tmp_path / "once") == digest(tmp_path / "twice")
    assert 300.0 == heard.media_s

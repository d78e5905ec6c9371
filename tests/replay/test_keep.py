"""A real call made a test fixture: what is personal is masked in what is written, and muted in the sound on request."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.replay.recorded_calls import settings, taken
from tests.replay.test_rehear import records
from voicebot.cli import app
from voicebot.core.dialplan import parse
from voicebot.core.grammar import normalise
from voicebot.core.timeline import Record
from voicebot.core.turn_log import decode as events
from voicebot.errors import UsageError
from voicebot.replay.inputs.load import load
from voicebot.replay.keep import Span, keep, span
from voicebot.replay.masking import MASK, masked, personal_words, same_but_masked

PLAN = parse(
    """
name: clinic
start: book
nodes:
  book:
    collect:
      name: {required: true, ask: "Your name?"}
      born: {type: date, past: true, required: true, ask: "When were you born?"}
      day: {type: date, required: true, ask: "Which day?"}
    do: [{hang_up: Goodbye.}]
""",
    "clinic.yaml",
)


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("a large latte please", "a large latte please"),
        ("two lattes and one tea", "two lattes and one tea"),
        ("my number is five five five one two", f"my number is {MASK}"),
        ("call 555-123-4567 tomorrow", f"call {MASK} tomorrow"),
        ("it's double five, three nine, oh", f"it's {MASK}"),
        ("that's s m i t h", f"that's {MASK}"),
        ("at ten thirty", "at ten thirty"),
        ("hello my name is Ada Lovelace", f"hello my name is {MASK}"),
        ("write to ada.l@example.com please", f"write to {MASK} please"),
        ("for Siobhan, please", f"for {MASK}, please"),
        ("", ""),
    ],
)
def test_what_looks_personal_is_masked_and_nothing_else(text: str, hidden: str) -> None:
    assert hidden == masked(text, {"siobhan"})


def test_what_tools_were_given_for_slots_of_a_personal_type_is_personal() -> None:
    args = {"name": "Ada Lovelace", "born": "1815-12-10", "day": "2026-02-03"}
    words = personal_words([Record(1, "tool", {"name": "book", "args": args, "started": True})], PLAN)

    assert {"ada", "lovelace", "1815-12-10"} == words


def test_a_text_is_the_same_where_it_is_not_masked() -> None:
    then = normalise(f"Thank you, {MASK}, see you on Monday.")
    assert same_but_masked(then, normalise("Thank you, Ada Lovelace, see you on Monday."))
    assert not same_but_masked(then, normalise("Thank you, Ada, see you on Tuesday."))
    assert same_but_masked(normalise("Hello."), normalise("hello"))
    assert not same_but_masked(normalise("Hello."), normalise("hello there"))


@pytest.mark.parametrize(
    ("text", "found"),
    [("1.5-3", Span(1500, 3000)), ("caller:0-0.2", Span(0, 200, "caller")), ("bot:2-4", Span(2000, 4000, "bot"))],
)
def test_a_stretch_is_said_in_seconds(text: str, found: Span) -> None:
    assert found == span(text)


@pytest.mark.parametrize("text", ["", "3", "3-1", "somebody:1-2", "a-b", "-1-2"])
def test_what_is_no_stretch_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        span(text)


def made(folder: Path, *more: Record) -> Path:
    """A call in which these were said, too."""
    call = taken(folder, settings(folder))
    with (call / "timeline.jsonl").open("ab") as timeline:
        timeline.writelines(record.encode() for record in more)
    return call


def test_the_fixture_can_be_replayed_and_holds_nothing_that_was_personal(tmp_path: Path) -> None:
    said = {"turn": 9, "text": "my name is ada", "confidence": 0.9, "start_ms": 4000, "end_ms": 4500}
    call = made(tmp_path, Record(4800, "turn", said), *(Record(5000, "digits", {"digits": d}) for d in "1234"))

    kept = keep(call, tmp_path / "kept" / "one", None, [Span(0, 1000)], mute_masked=True)

    assert 5 == kept.masked
    found = records(kept.folder)
    assert "one" == found[0].fields["call_id"]
    assert f"my name is {MASK}" == [r.fields["text"] for r in found if r.kind == "turn"][-1]
    assert ["•"] * 4 == [r.fields["digits"] for r in found if r.kind == "digits"]
    (once,), (again,) = load(call), load(kept.folder)
    assert once.duration_ms == again.duration_ms
    assert not np.any(again.bot[: 8 * 1000])  # type: ignore[index]
    assert not np.any(again.caller[8 * 3700 : 8 * 4800])  # type: ignore[index]
    assert np.any(again.bot[8 * 1000 : 8 * 1800])  # type: ignore[index]


def test_the_turn_machines_log_makes_the_same_decisions_and_tells_no_words(tmp_path: Path) -> None:
    call = made(tmp_path)
    keep(call, tmp_path / "one", None, more=["no"])

    before, after = (
        list(events((folder / "turns.jsonl").read_bytes().splitlines())) for folder in (call, tmp_path / "one")
    )

    assert [(type(event), at) for event, at in before] == [(type(event), at) for event, at in after]
    assert b'"no"' not in (tmp_path / "one" / "turns.jsonl").read_bytes()


def test_nothing_that_is_there_is_written_over(tmp_path: Path) -> None:
    call = made(tmp_path)
    (tmp_path / "one").mkdir()

    with pytest.raises(UsageError, match="is there already"):
        keep(call, tmp_path / "one", None)


def test_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call = made(tmp_path)
    monkeypatch.setenv("VOICEBOT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("VOICEBOT_DIALPLANS", str(tmp_path / "plans"))

    result = CliRunner().invoke(app, ["replay", "keep", str(call), "--to", str(tmp_path / "kept"), "--name", "bag"])

    assert 0 == result.exit_code, result.output
    assert "Nothing in the sound is muted" in result.output
    assert (tmp_path / "kept" / "bag" / "audio.wav").is_file()
    missing = CliRunner().invoke(app, ["replay", "keep", "2026"])
    assert "No call begins with '2026'" in str(missing.exception)

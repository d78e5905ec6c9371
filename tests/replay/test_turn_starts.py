"""Where speech begins, against labels."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

from tests.replay.made_calls import spoken
from voicebot.errors import UsageError
from voicebot.replay import turn_starts

SPANS = [(1000, 2000), (2500, 3000), (6000, 7000)]


def record(folder: Path) -> None:
    soundfile.write(folder / "a.wav", spoken(SPANS, 9000, 180, 1), 8000)


def test_labels_of_a_manifest_are_found_again(tmp_path: Path) -> None:
    record(tmp_path)
    labels = '"{""speaker_turns"": [[1.0, 3.0, ""a""], [6.1, 7.0, ""b""], [7.5, 8.5, ""c""]]}"'
    (tmp_path / "MANIFEST.csv").write_text(f"path,labels\na.wav,{labels}\n")
    [row] = turn_starts.measure(tmp_path)
    assert (2, 2, 2) == (row.labelled, row.found, row.right)  # 7.5 s is within a second of 7.0 s: one turn
    assert 2400 == pytest.approx(row.both_ms, abs=20)


def test_a_transcript_with_times_is_labels_too(tmp_path: Path) -> None:
    record(tmp_path)
    (tmp_path / "a.stm").write_text("a 1 caller 1.0 3.0 hello\na 1 caller 4.5 4.8 who\na 1 caller 6.0 7.0 bye\n")
    [row] = turn_starts.measure(tmp_path)
    assert (3, 2, 2) == (row.labelled, row.found, row.right)


def test_a_found_start_is_used_once() -> None:
    assert 1 == turn_starts.right([(1000, 1100), (1200, 1300)], [(1100, 1300)])


def test_a_folder_without_labels_is_a_sentence(tmp_path: Path) -> None:
    record(tmp_path)
    with pytest.raises(UsageError, match="has labels"):
        turn_starts.measure(tmp_path)

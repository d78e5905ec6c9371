"""Whose voices are for fitting, whose for choosing, whose for judging; nobody is in two of them.

* fit: speech at 16 kHz or more under a licence that lets what is fitted on it be passed on, by category; of AN4's
  speakers every fourth.
* choose: of AN4's speakers another fourth; two of the four of the Free Spoken Digits; the one of the Moonshine letters.
* judge: all else that a task is made of: every coffee order, the other half of AN4's speakers, the other two of the
  Free Spoken Digits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path

from voicebot.replay.mixing import WIDE_RATE
from voicebot.replay.spoken_tasks import Recording

FITTING = ("read_", "speech_", "vad_aligned", "wideband", "lang_")
"""Categories of plain speech begin with one of these."""
JUDGING = ("commands_s2i", "digits_fsdd", "alphanumeric_moonshine")
CHOSEN_BY = ("fsdd:george", "fsdd:lucas", "moonshine:petewarden")
_FREE = re.compile(r"CC0|public domain|CC BY 4|Apache|BSD|MIT|AN4|ARCTIC")
_BOUND = re.compile(r"-NC|-SA|research|not stated")


class Part(StrEnum):
    FIT = "fit"
    CHOOSE = "choose"
    JUDGE = "judge"
    NONE = "none"


def parts(found: Sequence[Recording]) -> Mapping[Path, Part]:
    """What each recording is for, by its file."""
    an4 = sorted({r.speaker for r in found if r.category == "read_an4"})
    fourth = {speaker: at % 4 for at, speaker in enumerate(an4)}
    return {each.file: _part(each, fourth) for each in found}


def _part(recording: Recording, fourth: Mapping[str, int]) -> Part:
    if recording.category in JUDGING:
        return Part.CHOOSE if recording.speaker in CHOSEN_BY else Part.JUDGE
    if recording.category == "read_an4":
        return (Part.CHOOSE, Part.JUDGE, Part.FIT, Part.JUDGE)[fourth[recording.speaker]]
    free = _FREE.search(recording.licence) and not _BOUND.search(recording.licence)
    fits = free and recording.rate >= WIDE_RATE and recording.category.startswith(FITTING)
    return Part.FIT if fits else Part.NONE

"""What is done to a line's audio in front of a recogniser, and on whose word."""

from __future__ import annotations

import numpy as np
import pytest

from voicebot.audio.leveller import LEAST_DBFS
from voicebot.engines.bandwidth import Choice
from voicebot.engines.treatment import Decision, Hears, decided, stages
from voicebot.errors import UsageError

ON = Decision(True, "the test says so")


def soft(samples: int = 16000, dbfs: float = -50.0) -> bytes:
    """A quiet line, and then a voice's worth of noise."""
    loud = np.where(np.arange(samples) < 2400, 8.0, 10 ** (dbfs / 20) * 32768)
    return (np.random.default_rng(1).standard_normal(samples) * loud).astype("<i2").tobytes()


@pytest.mark.parametrize(
    ("what", "wanted", "engine", "on", "why"),
    [
        ("level", "auto", "pocketsphinx", True, "auto: pocketsphinx's table"),
        ("noise", "auto", "pocketsphinx:second", False, "auto: pocketsphinx's table"),
        ("level", "auto", "whisper", False, "auto: whisper has not been measured"),
        ("level", "on", "whisper", True, "the dialplan says so"),
        ("level", "off", "pocketsphinx", False, "the dialplan says so"),
    ],
)
def test_auto_follows_the_engines_own_table_and_else_the_dialplan_decides(
    what: str, wanted: str, engine: str, on: bool, why: str
) -> None:
    assert Decision(on, why) == decided(what, wanted, engine)


def test_any_other_word_is_refused() -> None:
    with pytest.raises(UsageError, match="level is one of on, off, auto, not 'loud'"):
        decided("level", "loud", "pocketsphinx")


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("mode", ["off", "classical", "neural"])
def test_a_soft_voice_reaches_every_engine_louder_and_whole(rate: int, mode: str) -> None:
    through, pcm = stages(Hears(Choice(mode, ""), level=ON), rate), soft()  # type: ignore[arg-type]
    heard = b"".join(through.push(pcm[at : at + 320]) for at in range(0, len(pcm), 320)) + through.flush()
    tail = 48 if (rate, mode) == (16000, "off") else 0  # of the plain resampler's filter
    assert len(pcm) * rate // 8000 + tail == len(heard)
    voice = np.frombuffer(heard, "<i2")[len(heard) // 4 : -1600].astype(float)
    assert LEAST_DBFS - 2 < 20 * np.log10(voice.std() / 32768) < LEAST_DBFS + 8  # a way of extension adds to noise


def test_with_nothing_to_be_done_the_line_passes_as_it_is() -> None:
    through = stages(Hears(Choice("neural", "")), 8000)  # an engine at the line's rate extends by itself
    assert (b"\x01\x02" * 160, b"") == (through.push(b"\x01\x02" * 160), through.flush())

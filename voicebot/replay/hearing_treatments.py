"""What stands between a line and a recogniser in `hearing`: a way of bandwidth extension and, after a +, what else.

    neural+gaps+level     extended by the network, lost packets made good, loudness levelled
    shipped               what a call does where the dialplan says nothing

`+silence` and `+cut` are no part of a call: what a loss would be without anything in its place, and without its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from voicebot.audio.gaps import Gaps
from voicebot.audio.jitter import Placed
from voicebot.engines import denoise
from voicebot.engines.bandwidth import MODES, Choice, chosen
from voicebot.engines.treatment import Decision, Hears, hears_through, stages
from voicebot.errors import UsageError

UNTREATED, AS_IT_IS, SHIPPED = "untreated", "as it is", "shipped"
"""Plain upsampling with the cepstral mean that comes with pocketsphinx; no telephone at all; what a call does."""
EXTRAS = ("gaps", "silence", "cut", "level", "noise")
PIECE = 320
_WHY = "the measurement says so"


@dataclass(frozen=True, slots=True)
class Treatment:
    name: str
    hears: Hears
    losses: str = ""
    """gaps, silence or cut; empty: as the line makes them whole."""

    def pcm(self, line: Sequence[Placed], rate: int) -> bytes:
        """What came over the line, as an engine of that rate hears it: int16 LE."""
        through = stages(self.hears, rate)
        heard = b"".join(through.push(pcm[at : at + PIECE]) for pcm in self._whole(line) for at in _starts(pcm))
        return heard + through.flush()

    def _whole(self, line: Sequence[Placed]) -> Iterator[bytes]:
        gaps = Gaps()
        for piece in line:
            match self.losses:
                case "gaps":
                    yield gaps.push(piece.pcm, piece.concealed)
                case "silence" if piece.concealed:
                    yield bytes(len(piece.pcm))
                case "cut" if piece.concealed:
                    pass
                case _:
                    yield piece.pcm


def treatment(name: str, engine: str) -> Treatment:
    """By its name. `UsageError` for one that is unknown, or lacks a package."""
    way, *extras = name.split("+")
    if way == SHIPPED:
        return Treatment(name, hears_through(engine), "gaps")
    losses = [each for each in extras if each in EXTRAS[:3]]
    if (way not in (UNTREATED, AS_IT_IS, *MODES[:3])) or set(extras) - set(EXTRAS) or len(losses) > 1:
        raise UsageError(
            f"{name!r} is no treatment: {UNTREATED}, {SHIPPED}, or one of {', '.join(MODES[:3])}, "
            f"and after a + any of {', '.join(EXTRAS)}."
        )
    if "noise" in extras and (missing := denoise.check()):
        raise UsageError(missing)
    level, noise = (Decision(what in extras, _WHY) for what in ("level", "noise"))
    mode = chosen(way, engine) if way in MODES else Choice("off", _WHY)
    return Treatment(name, Hears(mode, level, noise), "".join(losses))


def _starts(pcm: bytes) -> range:
    return range(0, len(pcm), PIECE)

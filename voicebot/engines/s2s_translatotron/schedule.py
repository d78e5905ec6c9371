"""How each preset is trained: steps, rates, and what changes as the training goes. Plain data, no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stage:
    """Of a curriculum; begins when `since` of the training is over."""

    since: float
    longest: float = 1.0
    """Only so much of the data, the shorter ones: an attention finds its way sooner in them."""
    reduction: int = 2
    """This and what follows are Translatotron 1's."""
    guide_weight: float = 0.0
    frame_dropout: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """One training."""

    minutes: float
    """Of training, without making the data."""
    steps: int
    """At most; whichever is over first."""
    batch: int
    pairs: int
    """Made-up pairs to learn from."""
    rate: float
    """Of learning, at its highest."""
    warmup: int = 100
    """Steps to get there."""
    optimizer: str = "adamw"
    """adamw, or adafactor as in the papers."""
    clip: float = 1.0
    aux_weights: tuple[float, float, int] = (1.0, 1.0, 1)
    """Of Translatotron 1's phoneme decoders: from, to, in so many steps."""
    weight_noise: float = 0.0
    stages: tuple[Stage, ...] = ()
    patience: int = 10
    """Validations without a better result after which the training ends."""

    def rate_at(self, step: int, over: float) -> float:
        """Warm-up, then a cosine down to a fiftieth; `over` is the part of the training that is done, 0..1."""
        ramp = min(1.0, (step + 1) / self.warmup)
        return self.rate * ramp * (0.49 * (1 + math.cos(math.pi * min(1.0, over))) + 0.02)

    def aux_weight(self, step: int) -> float:
        """Falls exponentially."""
        first, last, steps = self.aux_weights
        return float(first * (last / first) ** min(1.0, step / steps))

    def stage(self, over: float) -> Stage | None:
        """The one that holds."""
        begun = [each for each in self.stages if each.since <= over]
        return begun[-1] if begun else None


_CURRICULUM = (
    Stage(0.0, 0.2, 8, 4.0, 0.3),
    Stage(0.1, 0.4, 8, 4.0, 0.3),
    Stage(0.2, 1.0, 8, 2.0, 0.3),
    Stage(0.35, 1.0, 5, 1.0, 0.3),
    Stage(0.55, 1.0, 3, 0.3, 0.2),
    Stage(0.75, 1.0, 3, 0.0, 0.1),
)
_SHORT_FIRST = (Stage(0.0, 0.25), Stage(0.08, 0.4), Stage(0.15))
PLANS: Mapping[tuple[str, str], Plan] = {
    ("translatotron", "tiny"): Plan(25, 20000, 16, 4000, 1e-3, stages=_CURRICULUM),
    ("translatotron2", "tiny"): Plan(10, 20000, 16, 4000, 1e-3, stages=_SHORT_FIRST),
    ("translatotron", "fisher"): Plan(
        1440, 200_000, 1024, 20_000, 0.006, 2000, "adafactor", aux_weights=(0.3, 0.001, 160_000), weight_noise=0.05
    ),
    ("translatotron", "conversational"): Plan(1440, 200_000, 1024, 20_000, 0.002, 2000, "adafactor"),
}
PUBLISHED_T2 = Plan(1440, 200_000, 128, 20_000, 1e-3, 4000)
"""Of every larger Translatotron 2; the tables at hand give no learning rate."""


def plan(architecture: str, preset: str) -> Plan:
    """How to train it."""
    return PLANS.get((architecture, preset), PUBLISHED_T2)

"""Training: steps until the time is over, it does not get better, or somebody stops it; and going on from there.

The folder of a training holds the best model so far (see `checkpoint`), a picture of its attention, and `training.pt`,
from which it goes on.
"""

from __future__ import annotations

import contextlib
import json
import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from voicebot.engines.s2s_translatotron import checkpoint
from voicebot.engines.s2s_translatotron.batches import Batches
from voicebot.engines.s2s_translatotron.checkpoint import About, Model
from voicebot.engines.s2s_translatotron.plot import png
from voicebot.engines.s2s_translatotron.schedule import Plan
from voicebot.engines.s2s_translatotron.t1 import Translatotron1
from voicebot.engines.s2s_translatotron.validation import Score, attention, validate
from voicebot.errors import UsageError

STATE = "training.pt"
LOG = "training.jsonl"
PLOT = "attention.png"
LOOK_EVERY = 10
"""Steps between two looks at the losses: on a GPU each costs a wait."""
GOOD = 0.995
"""Of unseen sentences right, twice in a row: nothing is left to learn."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Told at every validation."""

    step: int
    minutes: float
    step_ms: float
    losses: dict[str, float]
    score: Score


class Training:
    """One model's. `run` until it is over; the best model is in the folder then. `clock` tells the seconds of training:
    the wall's, or this process's own on a machine that is busy with other things."""

    def __init__(
        self, model: Model, plan: Plan, folder: Path, about: About, device: str = "cpu",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.model, self.plan, self.folder, self.about, self.device = model.to(device), plan, folder, about, device
        self.step, self.seconds, self.best, self.since_best = 0, 0.0, -math.inf, 0
        self._clock, self._losses = clock, dict[str, float]()
        self._chance = random.Random(0)
        self._optimizer = _optimizer(self.model, plan)

    # --- going on

    def resume(self) -> bool:
        """Go on from the folder's last state, if there is one. `UsageError` when it is another model's."""
        file = self.folder / STATE
        if not file.exists():
            return False
        try:
            state: dict[str, Any] = torch.load(file, map_location=self.device, weights_only=True)
            self.model.load_state_dict(state["model"])
            self._optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, KeyError, ValueError) as error:
            raise UsageError(f"{file} is of another model; choose another folder, or remove it ({error}).") from None
        self.step, self.seconds, self.best, self.since_best = state["counts"]
        self._chance.setstate(_tuples(json.loads(state["chance"])))
        return True

    def save(self) -> None:
        """Where it stands."""
        self.folder.mkdir(parents=True, exist_ok=True)
        state = {
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "counts": [self.step, self.seconds, self.best, self.since_best],
            "chance": json.dumps(self._chance.getstate()),
        }
        torch.save(state, self.folder / f"{STATE}.new")
        (self.folder / f"{STATE}.new").replace(self.folder / STATE)

    # --- the work

    def run(self, learning: Batches, validating: Batches, every_s: float, told: Callable[[Progress], None]) -> str:
        """Train; `told` at every validation, each `every_s` seconds of training. Returns why it ended, in words."""
        due_s, good = self.seconds + every_s, 0
        first_step, first_s = self.step, self.seconds
        while True:
            began = self._clock()
            self._learn(learning)
            self.seconds += self._clock() - began
            self.step += 1
            over = self._over()
            if self.seconds < due_s and over < 1:
                continue
            due_s = self.seconds + every_s
            score = self._validate(validating)
            step_ms = 1000 * (self.seconds - first_s) / (self.step - first_step)
            self._note(Progress(self.step, self.seconds / 60, step_ms, self._losses, score), told)
            good = good + 1 if self._is_good(score, over) else 0
            if good >= 2:
                return "every unseen sentence is right"
            if over >= 1:
                return "the time is over"
            if self.since_best >= self.plan.patience:
                return "it does not get better"

    def _is_good(self, score: Score, over: float) -> bool:
        """Nothing is left to learn: not before the last stage, and not by its phonemes alone where a model does not
        speak from them."""
        last = over >= max((stage.since for stage in self.plan.stages), default=0.0)
        spoken = score.nearest >= GOOD or not isinstance(self.model, Translatotron1)
        return last and spoken and score.exact >= GOOD

    def _over(self) -> float:
        return max(self.seconds / 60 / self.plan.minutes, self.step / self.plan.steps)

    def _learn(self, learning: Batches) -> None:
        over = self._over()
        longest = self._set_lesson(over)
        for group in self._optimizer.param_groups:
            group["lr"] = self.plan.rate_at(self.step, over)
        self.model.train()
        batch = learning.draw(self.plan.batch, self._chance, longest).to(self.device)
        with self._noise():
            with torch.autocast(self.device, torch.bfloat16, enabled=self.device != "cpu"):
                loss = self.model(batch)
            self._optimizer.zero_grad()
            loss.total.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.plan.clip)
        self._optimizer.step()
        if self.step % LOOK_EVERY == 0:
            self._losses = loss.parts()

    def _set_lesson(self, over: float) -> float:
        """What changes as it goes; returns how much of the data is used."""
        stage = self.plan.stage(over)
        if isinstance(self.model, Translatotron1):
            lesson = self.model.lesson
            lesson.aux_weight = self.plan.aux_weight(self.step)
            if stage:
                lesson.reduction, lesson.guide_weight = stage.reduction, stage.guide_weight
                lesson.frame_dropout = stage.frame_dropout
        return stage.longest if stage else 1.0

    @contextlib.contextmanager
    def _noise(self) -> Iterator[None]:
        """Gaussian noise on the weights while a gradient is found."""
        if not self.plan.weight_noise:
            yield
            return
        kept = [weight.detach().clone() for weight in self.model.parameters()]
        with torch.no_grad():
            for weight in self.model.parameters():
                weight += torch.randn_like(weight) * self.plan.weight_noise
        try:
            yield
        finally:
            with torch.no_grad():
                for weight, before in zip(self.model.parameters(), kept, strict=True):
                    weight.copy_(before)

    def _validate(self, validating: Batches) -> Score:
        self.model.eval()
        score = validate(self.model, validating, self.device)
        self.since_best += 1
        if score.value > self.best:
            self.best, self.since_best = score.value, 0
            reduction = self.model.lesson.reduction if isinstance(self.model, Translatotron1) else 0
            trained_on = f"{self.about.trained_on}; {self.step} steps of {self.plan.batch}"
            checkpoint.save(self.folder, self.model, replace(self.about, trained_on=trained_on, reduction=reduction))
            (self.folder / PLOT).write_bytes(png(attention(self.model, validating, self.device)))
        self.save()
        return score

    def _note(self, progress: Progress, told: Callable[[Progress], None]) -> None:
        line = {"step": progress.step, "minutes": round(progress.minutes, 2), **progress.losses}
        with open(self.folder / LOG, "a", encoding="utf-8") as log:
            log.write(json.dumps(line | progress.score.facts()) + "\n")
        told(progress)


def _optimizer(model: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    if plan.optimizer == "adafactor":
        return torch.optim.Adafactor(model.parameters(), lr=plan.rate)
    return torch.optim.AdamW(model.parameters(), lr=plan.rate, weight_decay=1e-4)


def _tuples(value: Any) -> Any:
    """JSON's lists as `random.setstate` wants them."""
    return tuple(_tuples(each) for each in value) if isinstance(value, list) else value

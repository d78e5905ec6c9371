"""`voicebot train …`: make a translator from pairs of utterances."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from voicebot.config import Settings
from voicebot.engines import s2s_translatotron as engine
from voicebot.engines.s2s_translatotron import presets, schedule
from voicebot.engines.s2s_translatotron.presets import T1, Config
from voicebot.errors import UsageError

if TYPE_CHECKING:
    from voicebot.engines.s2s_translatotron.pairs import Pair
    from voicebot.engines.s2s_translatotron.training import Progress

MADE = "synthetic:"
UNSEEN = 64
"""Made-up pairs to validate with."""
HELD_OUT = 20
"""One of so many pairs of a table is validated with."""
Architecture = Annotated[str, typer.Argument(help="translatotron2, or translatotron.")]


def train(
    architecture: Architecture,
    data: Annotated[str, typer.Option(help="synthetic:es-en, or a table of pairs (TSV); see the README.")],
    preset: Annotated[str, typer.Option(help="tiny, fisher, conversational; translatotron2 also covost2.")] = "tiny",
    out: Annotated[Path | None, typer.Option(help="Folder of the model; default: by name, under the models.")] = None,
    rate: Annotated[int, typer.Option(help="Of the sound, both ways: 8000 or 16000.")] = 8000,
    languages: Annotated[str, typer.Option(help="Of a table's pairs, such as es-en.")] = "",
    durations: Annotated[
        str, typer.Option(help="total, as published; known: also each phoneme's, where given.")
    ] = "total",
    minutes: Annotated[float, typer.Option(help="Of training at most; 0: the preset's.")] = 0,
    pairs: Annotated[int, typer.Option(help="Made-up pairs to learn from; 0: the preset's.")] = 0,
    batch: Annotated[int, typer.Option(help="Pairs a step; 0: the preset's.")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Annotated[int, typer.Option(help="To compute with, on a CPU.")] = 1,
    again: Annotated[bool, typer.Option("--again", help="From the beginning, not from where it was left.")] = False,
) -> None:
    """Train a translator. Left and called again, it goes on from where it was."""
    if lacking := engine.check():
        raise UsageError(lacking)
    from voicebot.engines.s2s_translatotron import checkpoint, translator
    from voicebot.engines.s2s_translatotron.batches import Batches
    from voicebot.engines.s2s_translatotron.training import STATE, Training

    if durations not in ("total", "known"):
        raise UsageError(f"Durations are total or known, not {durations!r}.")
    console = Console()
    config = presets.preset(architecture, preset, rate)
    plan = _plan(architecture, preset, minutes, pairs, batch)
    translator.threads(threads)
    learning, validating, tongues, about = _pairs(data, languages, config, plan.pairs, console)
    from voicebot.engines.s2s_translatotron import pairs as found

    source_phonemes, target_phonemes = found.symbols(learning)
    config = replace(config, target_phonemes=target_phonemes)
    if isinstance(config, T1):
        config = replace(config, source_phonemes=source_phonemes)
    source, _, target = tongues.partition("-")
    folder = out or Settings().models_dir / "translatotron" / f"{architecture}-{preset}-{tongues}"
    if again:
        (folder / STATE).unlink(missing_ok=True)
    known = durations == "known"
    facts = checkpoint.About(source, target, about, words=found.words(learning, target))
    training = Training(checkpoint.build(config), plan, folder, facts, device)
    if training.resume():
        console.print(f"Goes on from step {training.step}.")
    size = sum(weight.numel() for weight in training.model.parameters()) / 1e6
    console.print(
        f"{architecture} {preset}: {size:.1f} million parameters, {len(learning)} pairs, {plan.minutes:g} min"
    )
    batches = [Batches(each, config, source_phonemes, known) for each in (learning, validating)]
    every_s = max(15.0, plan.minutes * 60 / 20)
    why = training.run(batches[0], batches[1], every_s, lambda progress: console.print(_line(progress), soft_wrap=True))
    console.print(f"Ended: {why}. The best model is in {folder}", soft_wrap=True)


def _plan(architecture: str, preset: str, minutes: float, pairs: int, batch: int) -> schedule.Plan:
    plan = schedule.plan(architecture, preset)
    return replace(plan, minutes=minutes or plan.minutes, pairs=pairs or plan.pairs, batch=batch or plan.batch)


def _pairs(
    data: str, languages: str, config: Config, count: int, console: Console
) -> tuple[list[Pair], list[Pair], str, str]:
    """To learn from, to validate with, the languages, and what it is in words."""
    from voicebot.engines.s2s_translatotron import pairs

    rates = config.source.rate, config.target.rate
    if data.startswith(MADE):
        tongues = data.removeprefix(MADE)
        began = time.monotonic()
        with console.status("Making pairs…") as status:
            learning = pairs.made(tongues, count, rates, told=lambda done: status.update(f"{done} of {count} pairs"))
            validating = pairs.unseen(tongues, UNSEEN, rates)
        console.print(f"Made {count} pairs in {time.monotonic() - began:.0f} s.")
        return learning, validating, tongues, f"{count} pairs made by espeak-ng from made-up sentences, {tongues}"
    if "-" not in languages:
        raise UsageError("Say which languages the pairs are in: --languages es-en.")
    known = pairs.read(Path(data), rates)
    if len(known) < 2:
        raise UsageError(f"{data} has too few pairs: one at least is held out.")
    held = known[::HELD_OUT]
    kept = [pair for number, pair in enumerate(known) if number % HELD_OUT]
    return kept, held, languages, f"{len(kept)} pairs of {Path(data).name}, {languages}"


def _line(progress: Progress) -> str:
    score = progress.score
    loss = progress.losses.get("total", 0.0)
    return (
        f"{progress.minutes:6.1f} min  step {progress.step:6d} ({progress.step_ms:.0f} ms)  loss {loss:.3f}  "
        f"unseen: {score.exact:.0%} exact, phoneme error {score.error:.1%}, length {score.length:.2f}, "
        f"nearest {score.nearest:.0%}"
    )

"""`voicebot measure translation`: the interpreters of a dialplan, judged on the same sentences."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import yaml
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from voicebot import log
from voicebot.errors import UsageError

if TYPE_CHECKING:
    from voicebot.replay.translating import Judged

MADE = "synthetic:"


def translation(
    dialplan: Annotated[Path, typer.Argument(help="Dialplan of an interpreter; each of its `by` is judged.")],
    data: Annotated[str, typer.Option(help="synthetic:es-en, or a table of pairs as `voicebot train` reads.")],
    count: Annotated[int, typer.Option(help="Sentences.")] = 16,
    judge: Annotated[
        str, typer.Option(help="Recogniser that writes down what was heard; none: take the engine's own word for it.")
    ] = "pocketsphinx",
    voices: Annotated[
        Path | None, typer.Option(help="Speaker encoder (safetensors): how far each keeps the voice.")
    ] = None,
    show: Annotated[bool, typer.Option(help="Every sentence, too.")] = False,
) -> None:
    """ASR-BLEU, ChrF, phoneme error, duration, latency and lagging of every interpreter, on live simulated calls."""
    from voicebot.engines.s2s_translatotron import pairs
    from voicebot.replay import translating

    log.configure(level="error")
    text = dialplan.read_text("utf-8")
    told = yaml.safe_load(text)
    if not isinstance(told, dict) or "interpret" not in told:
        raise UsageError(f"{dialplan} is no interpreter's dialplan.")
    by = told["interpret"].get("by", "cascade")
    rates = (8000, 8000)
    if data.startswith(MADE):
        test = pairs.unseen(data.removeprefix(MADE), count, rates)
    else:
        test = pairs.read(Path(data), rates)[:count]
    console = Console(width=max(120, Console().width))
    table = _table()
    if judge != translating.NOBODY:
        _row(table, asyncio.run(translating.ceiling(test, judge, told["interpret"]["to"])), timed=False)
    for engine in [by] if isinstance(by, str) else by:
        with console.status("…") as status:
            try:
                found, sentences = asyncio.run(translating.judge(text, engine, test, judge, status.update))
            except UsageError as error:
                console.print(f"{engine}: {error}", soft_wrap=True)
                continue
        _row(table, found)
        if voices:
            console.print(f"{engine}: the voices' similarity is {translating.similarity(sentences, voices):.2f}")
        for each in sentences if show else ():
            console.print(f"{each.pair.source_text} → {each.said} | heard: {each.judged} | {each.pair.target_text}")
    console.print(table)


def _table() -> Table:
    table = Table(box=SIMPLE_HEAD)
    names = "engine|lost|ASR-BLEU|ChrF|phoneme error|nearest|duration|ms to hear|slowest tenth|lagging ms"
    for column in names.split("|"):
        table.add_column(column, justify="left" if column == "engine" else "right")
    return table


def _row(table: Table, found: Judged, timed: bool = True) -> None:
    times = [f"{ms}" if timed else "" for ms in (found.latency_ms, found.slow_ms, found.lagging_ms)]
    table.add_row(
        found.engine, f"{found.lost} of {found.sentences}", f"{found.bleu:.1f}", f"{found.chrf:.1f}",
        f"{found.phoneme_error:.1%}", f"{found.nearest:.0%}", f"{found.duration:.2f}", *times,
    )  # fmt: skip

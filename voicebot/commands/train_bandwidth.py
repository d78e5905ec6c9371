"""`voicebot train bandwidth`: the weights that ship, fitted again on recordings of your own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from voicebot import log
from voicebot.audio.envelope import Weights


def bandwidth(
    data: Annotated[Path, typer.Option(help="Folder with recordings and a MANIFEST.csv.")],
    out: Annotated[Path, typer.Option(help="Where the weights go.")] = Path("bandwidth.npz"),
    copies: Annotated[int, typer.Option(min=1, help="Telephones for each recording.")] = 4,
    epochs: Annotated[int, typer.Option(min=1, help="Times through everything.")] = 8,
    hidden: Annotated[int, typer.Option(min=1, help="Width of the two hidden layers.")] = 128,
    seed: Annotated[int, typer.Option(help="Of the network; the telephones have theirs.")] = 1,
    limit: Annotated[int, typer.Option(help="At most this many recordings; 0: all.")] = 0,
) -> None:
    """The learnt bandwidth extension, on wide-band speech and telephone copies of it. Needs PyTorch."""
    from voicebot.replay import bandwidth_fit as fitting
    from voicebot.replay.hearing_sets import Part, parts
    from voicebot.replay.spoken_tasks import recordings

    log.configure(level="warning")
    found = recordings(data)
    part = parts(found)
    speech = [each for each in found if part[each.file] is Part.FIT][: limit or None]
    unseen = [each for each in found if part[each.file] is Part.CHOOSE and each.category == "read_an4"]
    recipe = fitting.Recipe(copies=copies, epochs=epochs, hidden=hidden, seed=seed)
    console = Console()
    with console.status("Listening…") as status:
        fitted = fitting.fit(speech, unseen[: limit or None], recipe, status.update)
    Weights.of(fitted.weights)
    np.savez_compressed(out, **fitted.weights)  # type: ignore[arg-type]
    console.print(
        f"{out}: {out.stat().st_size / 1000:.0f} KB, from {fitted.minutes:.0f} minutes of {fitted.speakers} voices in "
        f"{fitted.seconds:.0f} s; {fitted.loss} on voices that it was not fitted on."
    )

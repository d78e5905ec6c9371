"""`voicebot train …`: a command for each thing that is fitted; the kinds of translators are commands, too."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

import typer

from voicebot.commands import train, train_bandwidth

app = typer.Typer(help="Fit a translator, or again what ships fitted.", no_args_is_help=True)


def _of(architecture: str) -> Callable[..., None]:
    """`train.train` without its first argument, signed as Typer reads a signature."""

    def made(**options: Any) -> None:
        train.train(architecture, **options)

    hints = get_type_hints(train.train, include_extras=True)
    _, *rest = inspect.signature(train.train).parameters.values()
    signed = [each.replace(annotation=hints[each.name], kind=each.KEYWORD_ONLY) for each in rest]
    made.__signature__ = inspect.Signature(signed)  # type: ignore[attr-defined]
    made.__annotations__ = {each.name: each.annotation for each in signed}
    made.__doc__ = train.train.__doc__
    return made


app.command()(train_bandwidth.bandwidth)
for kind in ("translatotron2", "translatotron"):
    app.command(kind)(_of(kind))

"""`--header X-Queue=sales`: a call as if an exchange had sent it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from voicebot.core.call_headers import kept, name_of
from voicebot.errors import UsageError

Given = Annotated[
    list[str] | None, typer.Option("--header", help="X-Queue=sales: a header of the call; may be repeated.")
]


def parsed(given: Sequence[str] | None) -> dict[str, str]:
    """As `call_headers.kept` gives them. `UsageError` for what is none."""
    pairs = [text.partition("=")[::2] for text in given or ()]
    for (name, value), text in zip(pairs, given or (), strict=True):
        if not name_of(name) or not value.strip():
            raise UsageError(f"{text!r} is no header of a call. Write it like X-Queue=sales.")
    return kept(pairs)

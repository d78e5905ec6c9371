"""`voicebot serve` with stub engines lent to it, for `voicebot measure load` and `measure carriers`. No command of its
own: a process that measures starts it by its module's name."""

from __future__ import annotations

import typer

from voicebot.commands.serve import serve
from voicebot.replay import stub_echo, stub_engines


def main() -> None:
    """As `voicebot serve`, its flags included."""
    stub_engines.lend()
    stub_echo.lend()
    typer.run(serve)


if __name__ == "__main__":
    main()

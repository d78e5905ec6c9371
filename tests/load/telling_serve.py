"""`voicebot serve` that writes which modules it has imported to the file `MODULES` when it gets SIGUSR1. A program."""

import os
import signal
import sys
from pathlib import Path

from voicebot.start import main


def tell(*_: object) -> None:
    file = Path(os.environ["MODULES"])
    file.with_suffix(".part").write_text("\n".join(sys.modules))
    file.with_suffix(".part").replace(file)


signal.signal(signal.SIGUSR1, tell)
sys.argv[1:1] = ["serve"]
main()

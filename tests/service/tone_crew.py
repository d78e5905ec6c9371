"""A process that carries calls with a bot that knows tones only: what `test_crew` has a service start."""

from __future__ import annotations

from tests.service.world import ToneRuntime
from voicebot.service.crew_program import main

if __name__ == "__main__":
    main(ToneRuntime)

"""Tests that wait on timers alone run in virtual time: a minute of call in milliseconds."""

from __future__ import annotations

from voicebot.replay.clock import run

__all__ = ["run"]

"""The last thing a call does: let its line go the way the call ended."""

from __future__ import annotations

import asyncio

from voicebot import log
from voicebot.carriers.base import Line
from voicebot.core.timeline import EndReason
from voicebot.errors import PeerError

AFTER_GOODBYE_S = 0.3
"""Between the last mark and the hang-up: the network behind the carrier holds a little more."""
_log = log.get("call")


async def leave(line: Line, reason: EndReason) -> None:
    """Hang up, unless the far end has."""
    if reason in (EndReason.CALLER_HANGUP, EndReason.MEDIA_LOST):
        return
    await asyncio.sleep(AFTER_GOODBYE_S)
    try:
        await line.hangup(reason)
    except PeerError as error:
        _log.warning("hangup_failed", call_id=line.info.call_id, error=str(error))

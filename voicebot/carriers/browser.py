"""A call from the web page: the page plays the carrier's part of Media Streams (`core.twilio`), and hears more.

The page sends what Twilio would send: `connected`, `start` (with `customParameters` `token` and `dialplan`), `media`
every 20 ms, `mark` when audio was played, `dtmf`, `stop`. It gets `media`, `mark`, `clear`, and besides:

    {"event": "record", "record": {"ms": …, "kind": …, …}}     the timeline as it happens
    {"event": "transfer", "to": "desk"}                        the caller would now be connected
    {"event": "ended", "reason": "bot_hangup"}                 and the socket closes
"""

from __future__ import annotations

import orjson

from voicebot.carriers.base import CallInfo
from voicebot.carriers.media_stream import MediaStream, Socket
from voicebot.core import twilio as wire
from voicebot.core.timeline import Record

HIDDEN = frozenset({"voice_started", "voice_stopped", "call_started"})
"""Records the page has no use for."""


def browser_line(socket: Socket, stream: wire.Stream, info: CallInfo) -> MediaStream:
    """The line of a page that has sent its `start`."""

    async def hang_up(reason: str) -> None:
        line.say(orjson.dumps({"event": "ended", "reason": reason}).decode())
        await line.close(reason)

    async def transfer(destination: str) -> None:
        line.say(orjson.dumps({"event": "transfer", "to": destination}).decode())
        await hang_up("transfer")

    line = MediaStream(socket, stream, info, hang_up, transfer)
    return line


def show(line: MediaStream, record: Record) -> None:
    """Let the page see a timeline record; dropped when it does not read."""
    if record.kind not in HIDDEN:
        data = {"event": "record", "record": {"ms": record.ms, "kind": record.kind, **record.fields}}
        line.say(orjson.dumps(data, default=str).decode())

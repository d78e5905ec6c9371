"""Twilio Media Streams on the wire: JSON text messages in, JSON text messages out. Pure.

`parse` never raises, whatever comes: a message is understood, or it is `Malformed(reason)` with a reason out of a
small closed set, fit for a metric. `Stream` adds the rules of order: `start` first and once, one `streamSid`.

    in:   connected · start · media · dtmf · mark · stop         out:  media · mark · clear
"""

from __future__ import annotations

import binascii
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any

import orjson

MAX_MESSAGE_BYTES = 64 * 1024
MAX_PAYLOAD_BYTES = 8000
"""One second of G.711; Twilio sends 20 ms."""
MAX_TIMESTAMP_MS = 24 * 3600 * 1000
"""Twilio ends a call after four hours, or 24 where asked to."""
DIGITS = frozenset("0123456789*#ABCD")


@dataclass(frozen=True, slots=True)
class Connected:
    pass


@dataclass(frozen=True, slots=True)
class Start:
    stream_sid: str
    call_sid: str
    parameters: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Media:
    payload: bytes
    """μ-law, 8 kHz."""
    timestamp_ms: int
    """Of the first sample, from the start of the stream."""
    stream_sid: str


@dataclass(frozen=True, slots=True)
class Dtmf:
    digit: str
    stream_sid: str


@dataclass(frozen=True, slots=True)
class Mark:
    name: str
    stream_sid: str


@dataclass(frozen=True, slots=True)
class Stop:
    stream_sid: str


@dataclass(frozen=True, slots=True)
class Malformed:
    reason: str


Message = Connected | Start | Media | Dtmf | Mark | Stop | Malformed


class _Bad(Exception):
    """Inside this file only: a field is not what it must be."""


def parse(text: str | bytes) -> Message:
    """One message. Numbers may come as numbers or as strings; Twilio does both."""
    if isinstance(text, bytes):
        return Malformed("binary")
    if len(text) > MAX_MESSAGE_BYTES:
        return Malformed("too_long")
    try:
        data = orjson.loads(text)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return Malformed("not_json")
    if not isinstance(data, dict):
        return Malformed("not_an_object")
    try:
        return _understand(data)
    except _Bad as bad:
        return Malformed(str(bad))


def _understand(data: dict[str, Any]) -> Message:
    match data.get("event"):
        case "media":
            return _media(data)
        case "mark":
            return Mark(_text(_part(data, "mark"), "name", 64), _sid(data))
        case "dtmf":
            digit = _part(data, "dtmf").get("digit")
            if not isinstance(digit, str) or digit not in DIGITS:
                raise _Bad("bad_digit")
            return Dtmf(digit, _sid(data))
        case "start":
            start = _part(data, "start")
            parameters = start.get("customParameters", {})
            if not isinstance(parameters, dict) or len(parameters) > 64:
                raise _Bad("bad_parameters")
            texts = {str(k)[:128]: v[:512] for k, v in parameters.items() if isinstance(v, str)}
            return Start(_text(start, "streamSid", 64), _text(start, "callSid", 64), texts)
        case "connected":
            return Connected()
        case "stop":
            return Stop(_sid(data))
        case str():
            raise _Bad("unknown_event")
        case _:
            raise _Bad("no_event")


def _media(data: dict[str, Any]) -> Message:
    media = _part(data, "media")
    if media.get("track", "inbound") not in ("inbound", "inbound_track"):
        raise _Bad("wrong_track")
    payload = media.get("payload")
    if not isinstance(payload, str) or not payload:
        raise _Bad("no_payload")
    try:
        audio = binascii.a2b_base64(payload, strict_mode=True)
    except (binascii.Error, ValueError):
        raise _Bad("bad_base64") from None
    if not 0 < len(audio) <= MAX_PAYLOAD_BYTES:
        raise _Bad("bad_length")
    return Media(audio, _milliseconds(media.get("timestamp")), _sid(data))


def _milliseconds(value: object) -> int:
    if isinstance(value, str) and len(value) <= 20 and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_TIMESTAMP_MS:
        raise _Bad("bad_timestamp")
    return value


def _part(data: dict[str, Any], name: str) -> dict[str, Any]:
    part = data.get(name)
    if not isinstance(part, dict):
        raise _Bad(f"no_{name}")
    return part


def _text(part: dict[str, Any], name: str, most: int) -> str:
    value = part.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= most:
        raise _Bad(f"bad_{name}")
    return value


def _sid(data: dict[str, Any]) -> str:
    return _text(data, "streamSid", 64)


class Stream:
    """The rules of order of one stream: `start` first and once, nothing after `stop`, all of one `streamSid`."""

    def __init__(self) -> None:
        self.start: Start | None = None
        self.stopped = False

    def receive(self, text: str | bytes) -> Message:
        """As `parse`, with what is out of order or of another stream made `Malformed`."""
        message = parse(text)
        match message:
            case Malformed() | Connected():
                return message
            case Start():
                if self.start is not None:
                    return Malformed("second_start")
                self.start = message
                return message
            case _ if self.start is None:
                return Malformed("before_start")
            case _ if self.stopped:
                return Malformed("after_stop")
            case _ if message.stream_sid != self.start.stream_sid:
                return Malformed("foreign_stream")
            case Stop():
                self.stopped = True
                return message
            case _:
                return message


# --- out ------------------------------------------------------------------------------------------------------


def media(stream_sid: str, ulaw: bytes) -> str:
    """Audio to play, any length; `stream_sid` was checked when it came in."""
    sid = orjson.dumps(stream_sid).decode()
    return f'{{"event":"media","streamSid":{sid},"media":{{"payload":"{b64encode(ulaw).decode()}"}}}}'


def mark(stream_sid: str, name: str) -> str:
    """Ask to be told when all audio before this was played (or cleared)."""
    return orjson.dumps({"event": "mark", "streamSid": stream_sid, "mark": {"name": name}}).decode()


def clear(stream_sid: str) -> str:
    """Drop what was sent and not yet played; its marks come back at once."""
    return orjson.dumps({"event": "clear", "streamSid": stream_sid}).decode()


def mark_name(epoch: int, sample: int) -> str:
    return f"{epoch}:{sample}"


def mark_place(name: str) -> tuple[int, int] | None:
    """(epoch, sample) of one of our marks; None for a name that is not ours."""
    epoch, colon, sample = name.partition(":")
    if not colon or not (epoch.isascii() and epoch.isdigit() and sample.isascii() and sample.isdigit()):
        return None
    return (int(epoch), int(sample)) if len(name) <= 40 else None

"""Bad messages of Media Streams, written by hand: each with the reason that the codec must give."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from typing import Any

SID = "MZ0123456789abcdef0123456789abcdef"
FRAME = b"\xff" * 160
GOOD = b64encode(FRAME).decode()


def _message(event: object, sid: object = SID, **parts: Any) -> str:
    return json.dumps({"event": event, "sequenceNumber": "4", "streamSid": sid} | parts)


def _media(payload: object = GOOD, timestamp: object = "40", sid: object = SID, **more: Any) -> str:
    part = {"track": "inbound", "chunk": "2", "timestamp": timestamp, "payload": payload} | more
    return _message("media", sid, media=part)


def _without(name: str, inner: str = "") -> str:
    data = json.loads(_media())
    del (data[inner] if inner else data)[name]
    return json.dumps(data)


def _start(**changes: Any) -> str:
    part = {"streamSid": SID, "callSid": "CA1", "customParameters": {}} | changes
    return _message("start", start={k: v for k, v in part.items() if v is not ...})


MALFORMED: list[tuple[str, str | bytes]] = [
    # not JSON at all
    ("not_json", ""),
    ("not_json", " "),
    ("not_json", "hello"),
    ("not_json", "{"),
    ("not_json", _media()[:-1]),
    ("not_json", _media() + "}"),
    ("not_json", _media() + _media()),
    ("not_json", "\ufeff" + _media()),
    ("not_json", "\x00" + _media()),
    ("not_json", "{'event': 'media'}"),
    ("not_json", '{"event": "media",}'),
    ("not_json", '{event: "media"}'),
    ("not_json", '{"event": "media" // comment\n}'),
    ("not_json", '{"event": NaN}'),
    ("not_json", '{"event": Infinity}'),
    ("not_json", '{"event": "media", "media": {"timestamp": NaN}}'),
    ("not_json", '{"event": 01}'),
    ("not_json", '{"event": "\\ud800"}'),
    ("not_json", '{"event": "\ud800"}'),
    ("not_json", '{"event": "\\x41"}'),
    ("not_json", '{"event": "a\nb"}'),
    ("not_json", "[" * 2000 + "]" * 2000),
    ("not_json", '{"a":' * 2000 + "1" + "}" * 2000),
    ("not_json", "<xml/>"),
    ("not_json", "event=media"),
    ("not_json", "GET / HTTP/1.1"),
    ("not_json", "True"),
    ("not_json", "undefined"),
    # JSON, and no object
    ("not_an_object", "null"),
    ("not_an_object", "true"),
    ("not_an_object", "1"),
    ("not_an_object", "-0.5"),
    ("not_an_object", '"media"'),
    ("not_an_object", "[]"),
    ("not_an_object", f"[{_media()}]"),
    ("not_an_object", "[" * 100 + "]" * 100),
    # no text
    ("binary", b""),
    ("binary", b"\x00\x01"),
    ("binary", FRAME),
    ("binary", _media().encode()),
    # too much
    ("too_long", _media("A" * 70_000)),
    ("too_long", " " * 70_000),
    ("too_long", _message("media", junk="x" * 70_000)),
    # no event, or none that is known
    ("no_event", "{}"),
    ("no_event", json.dumps({"streamSid": SID})),
    ("no_event", _message(None)),
    ("no_event", _message(1)),
    ("no_event", _message(True)),
    ("no_event", _message(["media"])),
    ("no_event", _message({"media": 1})),
    ("no_event", json.dumps({"Event": "media"})),
    ("unknown_event", _message("")),
    ("unknown_event", _message("Media")),
    ("unknown_event", _message("MEDIA")),
    ("unknown_event", _message("media ")),
    ("unknown_event", _message("clear")),
    ("unknown_event", _message("record")),
    ("unknown_event", _message("__proto__")),
    ("unknown_event", _message("medi\u0430")),
    ("unknown_event", _message("x" * 1000)),
    ("unknown_event", '{"event":"media","event":"twice"}'),
    # media without its part
    ("no_media", _without("media")),
    ("no_media", _message("media", media=None)),
    ("no_media", _message("media", media="x")),
    ("no_media", _message("media", media=[])),
    ("no_media", _message("media", media=7)),
    ("no_payload", _message("media", media={})),
    # payloads
    ("no_payload", _without("payload", "media")),
    ("no_payload", _media(None)),
    ("no_payload", _media("")),
    ("no_payload", _media(7)),
    ("no_payload", _media([255] * 160)),
    ("no_payload", _media({"data": GOOD})),
    ("bad_base64", _media("!")),
    ("bad_base64", _media("A")),
    ("bad_base64", _media("AA")),
    ("bad_base64", _media("AAA")),
    ("bad_base64", _media("=")),
    ("bad_base64", _media("====")),
    ("bad_base64", _media("AA=A")),
    ("bad_base64", _media(GOOD + "=")),
    ("bad_base64", _media(GOOD.rstrip("=") or GOOD[:-1])),
    ("bad_base64", _media(GOOD + GOOD)),
    ("bad_base64", _media(GOOD[:40] + "\n" + GOOD[40:])),
    ("bad_base64", _media(" " + GOOD)),
    ("bad_base64", _media("ÿ" * 216)),
    ("bad_base64", _media("💥" * 54)),
    ("bad_base64", _media(urlsafe_b64encode(b"\xfb\xff" * 80).decode())),
    ("bad_base64", _media("data:audio/basic;base64," + GOOD)),
    ("bad_base64", _media("\x00" * 216)),
    ("bad_length", _media(b64encode(bytes(8001)).decode())),
    ("bad_length", _media(b64encode(bytes(40_000)).decode())),
    # tracks
    ("wrong_track", _media(track="outbound")),
    ("wrong_track", _media(track="outbound_track")),
    ("wrong_track", _media(track="")),
    ("wrong_track", _media(track=None)),
    ("wrong_track", _media(track=1)),
    ("wrong_track", _media(track=["inbound"])),
    # timestamps
    ("bad_timestamp", _without("timestamp", "media")),
    ("bad_timestamp", _media(timestamp=None)),
    ("bad_timestamp", _media(timestamp="")),
    ("bad_timestamp", _media(timestamp="-20")),
    ("bad_timestamp", _media(timestamp=-20)),
    ("bad_timestamp", _media(timestamp="+20")),
    ("bad_timestamp", _media(timestamp=" 20")),
    ("bad_timestamp", _media(timestamp="20.0")),
    ("bad_timestamp", _media(timestamp=20.5)),
    ("bad_timestamp", _media(timestamp="1e3")),
    ("bad_timestamp", _media(timestamp="0x14")),
    ("bad_timestamp", _media(timestamp="NaN")),
    ("bad_timestamp", _media(timestamp="twenty")),
    ("bad_timestamp", _media(timestamp="٢٠")),
    ("bad_timestamp", _media(timestamp="1_000")),
    ("bad_timestamp", _media(timestamp="²")),
    ("bad_timestamp", _media(timestamp=True)),
    ("bad_timestamp", _media(timestamp=[20])),
    ("bad_timestamp", _media(timestamp=86_400_001)),
    ("bad_timestamp", _media(timestamp=2**63)),
    ("bad_timestamp", _media(timestamp=str(2**64))),
    ("bad_timestamp", _media(timestamp="9" * 5000)),
    # whose stream
    ("bad_streamSid", _without("streamSid")),
    ("bad_streamSid", _media(sid=None)),
    ("bad_streamSid", _media(sid="")),
    ("bad_streamSid", _media(sid=7)),
    ("bad_streamSid", _media(sid=[SID])),
    ("bad_streamSid", _media(sid=SID * 3)),
    ("foreign_stream", _media(sid="MZother")),
    ("foreign_stream", _media(sid=SID.upper())),
    ("foreign_stream", _media(sid=SID + " ")),
    ("foreign_stream", _message("stop", "MZother", stop={})),
    ("foreign_stream", _message("dtmf", "MZother", dtmf={"digit": "1"})),
    ("foreign_stream", _message("mark", "MZother", mark={"name": "1:160"})),
    ("bad_streamSid", _message("stop", None)),
    # marks
    ("no_mark", _message("mark")),
    ("no_mark", _message("mark", mark="1:160")),
    ("bad_name", _message("mark", mark={})),
    ("bad_name", _message("mark", mark={"name": ""})),
    ("bad_name", _message("mark", mark={"name": 1})),
    ("bad_name", _message("mark", mark={"name": None})),
    ("bad_name", _message("mark", mark={"name": "x" * 65})),
    # keys
    ("no_dtmf", _message("dtmf")),
    ("no_dtmf", _message("dtmf", dtmf="1")),
    ("bad_digit", _message("dtmf", dtmf={})),
    ("bad_digit", _message("dtmf", dtmf={"digit": ""})),
    ("bad_digit", _message("dtmf", dtmf={"digit": 1})),
    ("bad_digit", _message("dtmf", dtmf={"digit": "10"})),
    ("bad_digit", _message("dtmf", dtmf={"digit": "E"})),
    ("bad_digit", _message("dtmf", dtmf={"digit": "a"})),
    ("bad_digit", _message("dtmf", dtmf={"digit": "１"})),
    # starts
    ("second_start", _start()),
    ("second_start", _start(streamSid="MZother")),
    ("no_start", _message("start")),
    ("no_start", _message("start", start=[])),
    ("bad_callSid", _start(callSid=...)),
    ("bad_callSid", _start(callSid="")),
    ("bad_callSid", _start(callSid=7)),
    ("bad_callSid", _start(callSid="C" * 65)),
    ("bad_streamSid", _start(streamSid=...)),
    ("bad_streamSid", _start(streamSid={})),
    ("bad_parameters", _start(customParameters=None)),
    ("bad_parameters", _start(customParameters=["token"])),
    ("bad_parameters", _start(customParameters="token=t")),
    ("bad_parameters", _start(customParameters={str(n): "v" for n in range(65)})),
]
"""(reason, message), to a stream that has started."""

OUT_OF_ORDER: list[tuple[str, list[str], str]] = [
    ("before_start", [], _media()),
    ("before_start", ['{"event":"connected"}'], _media()),
    ("before_start", [], _message("stop", stop={})),
    ("before_start", [], _message("mark", mark={"name": "1:160"})),
    ("before_start", [], _message("dtmf", dtmf={"digit": "1"})),
    ("before_start", [_start(callSid="")], _media()),
    ("second_start", [_start()], _start()),
    ("second_start", [_start(), _start()], _start()),
    ("foreign_stream", [_start(streamSid="MZother")], _media()),
    ("after_stop", [_start(), _message("stop", stop={})], _media()),
    ("after_stop", [_start(), _message("stop", stop={})], _message("stop", stop={})),
]
"""(reason, messages before, message)."""

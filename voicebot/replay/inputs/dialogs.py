"""Calls in a capture's signalling: which SIP dialogue (RFC 3261) opened which media addresses, and for what.

Read leniently, as an observer: what is missing or odd costs what it would have told.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from voicebot.replay.inputs.packets import Datagram, End
from voicebot.replay.verdict import OTHER, Side

_START = re.compile(rb"(?:[A-Z]{3,10} \S+ SIP/2\.0|SIP/2\.0 \d{3} [^\r\n]*)\r?\n")
_TAG = re.compile(r";\s*tag\s*=\s*([^\s;,>]+)", re.I)
_MEDIA = re.compile(r"m=(\w+) (\d+)(?:/\d+)? (\S+)((?: \S+)*)")
_MAP = re.compile(r"a=rtpmap:(\d+) ([^/\s]+)")
COMPACT = {"i": "call-id", "f": "from", "t": "to", "c": "content-type"}


@dataclass(slots=True)
class Dialog:
    """One Call-ID."""

    call_id: str
    caller_tag: str
    start_s: float
    answered_s: float | None = None
    end_s: float | None = None
    places: dict[End, Side] = field(default_factory=dict)
    """Where each side listens."""
    codecs: dict[int, str] = field(default_factory=dict)
    media: set[str] = field(default_factory=set)
    """Kinds of media that were agreed on or offered: `audio`, `video`, `image` (T.38)."""
    encrypted: bool = False
    keys: list[tuple[float, Side, str]] = field(default_factory=list)
    """By SIP INFO: (time, who pressed, key)."""
    last_code: int = 0
    """Of the last final answer to an INVITE."""


def message(datagram: Datagram) -> tuple[str, dict[str, str], str] | None:
    """(first line, headers by lower-case name, body) of a SIP message; None for anything else."""
    match = _START.match(datagram.data[:600])
    if match is None:
        return None
    head, _, body = datagram.data.decode("utf-8", "replace").replace("\r\n", "\n").partition("\n\n")
    first, *lines = head.split("\n")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            name = name.strip().lower()
            headers.setdefault(COMPACT.get(name, name), value.strip())
    return first, headers, body


def learn(dialogs: dict[str, Dialog], datagram: Datagram) -> bool:
    """What a datagram tells of the dialogues so far. False when it is no SIP."""
    found = message(datagram)
    if found is None:
        return False
    first, headers, body = found
    call_id, method = headers.get("call-id", ""), headers.get("cseq", "").rpartition(" ")[2]
    code = int(first.split(" ")[1]) if first.startswith("SIP/") else 0
    tag = _tag(headers.get("from", ""))
    dialog = dialogs.get(call_id)
    if dialog is None:
        if method == "INVITE" and call_id:
            dialog = dialogs[call_id] = Dialog(call_id, tag, datagram.at_s)
        else:
            return True
    asked: Side = "caller" if tag == dialog.caller_tag else "bot"
    told = OTHER[asked] if code else asked
    if method == "INVITE" and code >= 200:
        dialog.last_code = code
        if code < 300 and dialog.answered_s is None:
            dialog.answered_s = datagram.at_s
    if method == "BYE" and not code:
        dialog.end_s = datagram.at_s
    if method in ("INVITE", "ACK", "UPDATE", "PRACK") and body.startswith("v="):
        _session(dialog, told, body)
    if method == "INFO" and not code and (pressed := re.search(r"(?:Signal\s*=\s*)?([0-9A-D*#])\s*(?:\n|$)", body)):
        dialog.keys.append((datagram.at_s, told, pressed[1]))
    return True


def _session(dialog: Dialog, side: Side, body: str) -> None:
    """Session description (RFC 4566): addresses, codecs, whether media are enciphered."""
    everywhere = host = ""
    port = 0
    for line in [*body.split("\n"), "m=end 0 x"]:
        line = line.strip()
        if line.startswith("c=IN"):
            address = line.split(" ")[-1].partition("/")[0]
            host, everywhere = address, everywhere or address
        elif media := _MEDIA.fullmatch(line):
            if port:
                dialog.places[End(host or everywhere, port)] = side
            host, port = everywhere, 0
            if media[2] != "0":
                dialog.media.add(media[1])
                dialog.encrypted |= "SAVP" in media[3]
                port = int(media[2]) if media[1] == "audio" else 0
        elif mapped := _MAP.match(line):
            dialog.codecs[int(mapped[1])] = mapped[2].upper()
        elif line.startswith(("a=crypto:", "a=fingerprint:", "a=zrtp-hash")):
            dialog.encrypted |= not line.startswith("a=zrtp")


def _tag(value: str) -> str:
    found = _TAG.search(value)
    return found[1] if found else value

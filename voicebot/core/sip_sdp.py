"""What an SDP offer (RFC 4566, RFC 3264) says of telephone audio. Pure; PJSIP negotiates, this only looks ahead."""

from __future__ import annotations

import re

STATIC = {"0": "PCMU", "8": "PCMA"}
"""Payload types that need no `rtpmap` (RFC 3551)."""
_MEDIA = re.compile(r"m=audio (\d+)(?:/\d+)? (\S+) (.+)")
_MAP = re.compile(r"a=rtpmap:(\d+) ([^/\s]+)/(\d+)", re.I)


def codecs(body: bytes) -> set[str] | None:
    """Names of the 8 kHz codecs that an offer has for audio, in capitals; None when it offers no audio at all, and
    is no offer."""
    found: set[str] | None = None
    maps: dict[str, str] = {}
    formats: list[str] = []
    for line in body.decode("latin-1").splitlines():
        if media := _MEDIA.fullmatch(line.strip()):
            found = found or set()
            if media[1] != "0":
                formats += media[3].split()
        elif mapped := _MAP.match(line.strip()):
            maps[mapped[1]] = mapped[2].upper() if mapped[3] == "8000" else ""
    if found is None:
        return None
    return {name for each in formats if (name := maps.get(each) or STATIC.get(each, ""))}

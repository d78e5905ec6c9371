"""SIP messages (RFC 3261), as far as a proxy must understand them: in from a datagram, out as one. Pure.

`parse` never raises, whatever comes. A message is a `Request`, a `Response`, or `Malformed` with a reason out of a
small closed set and, where there is somebody to tell, the answer's code. What passes `parse` is written anew by
`encode`: unfolded lines, full header names, one body. So what is behind it never sees a line that we did not
understand.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

MAX_DATAGRAM_BYTES = 3600
"""PJSIP as it is built takes 4000; what a proxy adds needs the rest."""
MAX_PARSED_BYTES = 8000
"""Between the two a request is answered; above, it is not even read."""
MAX_HEADERS = 120
MAX_VIAS = 20
COOKIE = "z9hG4bK"
COMPACT = {
    "i": "Call-ID", "m": "Contact", "e": "Content-Encoding", "l": "Content-Length", "c": "Content-Type", "f": "From",
    "s": "Subject", "k": "Supported", "t": "To", "v": "Via", "o": "Event", "r": "Refer-To", "x": "Session-Expires",
}  # fmt: skip
ONCE = frozenset({"call-id", "content-length", "cseq", "from", "max-forwards", "to"})
NEEDED = ("via", "from", "to", "call-id", "cseq")
REASONS = {
    100: "Trying", 200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    406: "Not Acceptable", 415: "Unsupported Media Type", 416: "Unsupported URI Scheme", 420: "Bad Extension",
    480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist", 483: "Too Many Hops", 486: "Busy Here",
    488: "Not Acceptable Here", 500: "Server Internal Error", 501: "Not Implemented", 503: "Service Unavailable",
    505: "Version Not Supported", 513: "Message Too Large",
}  # fmt: skip

_TOKEN = r"[A-Za-z0-9\-.!%*_+`'~]+"
_REQUEST = re.compile(rf"({_TOKEN}) (\S+) SIP/(\d+)\.(\d+)")
_STATUS = re.compile(r"SIP/2\.0 ([1-6]\d\d) ?(.*)")
_HEADER = re.compile(rf"({_TOKEN})[ \t]*:[ \t]*(.*)", re.S)
_VIA = re.compile(
    rf"SIP\s*/\s*2\.0\s*/\s*({_TOKEN})\s+(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.\-_]+)\s*(?::\s*(\d{{1,5}}))?\s*(;.*)?", re.S
)
_CSEQ = re.compile(rf"(\d{{1,10}})\s+({_TOKEN})")
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_NAME_ADDR = re.compile(rf"\s*(?:{_QUOTED}|[^<\"]*?)\s*<\s*([^<>\s]+)\s*>\s*(;.*)?", re.S)
_ADDR_SPEC = re.compile(r"\s*([^<>\s;?,\"]+)\s*(;.*)?", re.S)
_URI = re.compile(
    r"(sips?):(?:([^@\s]*)@)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.\-_]+)(?::(\d{1,5}))?((?:;[^?\s]*)?)(\?\S*)?", re.I
)
_TAG = re.compile(r";\s*tag\s*=\s*([^\s;,]+)", re.I)


class Address(NamedTuple):
    """Host and port."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Malformed:
    reason: str
    reply: bytes = b""
    """What to answer; empty: nothing."""


@dataclass(frozen=True, slots=True)
class Ping:
    """Line ends and nothing else: a phone keeps its way through a router open (RFC 5626)."""


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    uri: str
    headers: tuple[tuple[str, str], ...]
    """(name, value) in order, names in full."""
    body: bytes

    def encode(self) -> bytes:
        return _encode(f"{self.method} {self.uri} SIP/2.0", self.headers, self.body)


@dataclass(frozen=True, slots=True)
class Response:
    code: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def encode(self) -> bytes:
        return _encode(f"SIP/2.0 {self.code} {self.reason}", self.headers, self.body)


Parsed = Request | Response | Malformed | Ping


class Via(NamedTuple):
    """One hop that a request took; where the answer goes back to."""

    transport: str
    host: str
    port: int
    """5060 where none is written."""
    params: str
    """With the leading `;`."""

    def param(self, name: str) -> str | None:
        """Its value; empty for one without; None when it is not there."""
        found = re.search(rf";\s*{name}\s*(?:=\s*([^;\s]*))?\s*(?=;|$)", self.params, re.I)
        return None if found is None else found[1] or ""

    @property
    def reply_to(self) -> Address:
        """RFC 3261 §18.2.2, RFC 3581 §4."""
        host, port = self.param("received") or self.host, self.param("rport") or ""
        return Address(host.strip("[]"), int(port) if port.isdigit() and 0 < int(port) < 65536 else self.port)

    def __str__(self) -> str:
        return f"SIP/2.0/{self.transport} {self.host}:{self.port}{self.params}"


class Uri(NamedTuple):
    """`sip:user@host:port;params`."""

    scheme: str
    user: str
    host: str
    port: int
    """0 where none is written."""
    params: str

    @property
    def address(self) -> Address:
        return Address(self.host.strip("[]"), self.port or 5060)


class _Bad(Exception):
    """Inside this file only: what is wrong."""


def parse(data: bytes) -> Parsed:
    """One datagram."""
    if len(data) <= 8 and not data.strip(b"\r\n\0 "):
        return Ping()
    if len(data) > MAX_PARSED_BYTES:
        return Malformed("too_long")
    head, _, body = data.partition(b"\r\n\r\n")
    if b"\n\n" in head or b"\r\n\r\n" not in data:
        head, _, body = data.replace(b"\r\n", b"\n").partition(b"\n\n")
    text = head.decode("utf-8", "surrogateescape").lstrip("\r\n")
    start, _, rest = text.partition("\n")
    start = start.removesuffix("\r")
    try:
        headers = _headers(rest)
    except _Bad as bad:
        return Malformed(str(bad))  # who sent it cannot be told: there may be no Via to trust
    try:
        return _message(start, headers, body, len(data))
    except _Bad as bad:
        reason, _, code = str(bad).partition(" ")
        return Malformed(reason, _complaint(start, headers, int(code or 400)))


def _headers(text: str) -> tuple[tuple[str, str], ...]:
    if "\0" in text:
        raise _Bad("null_byte")
    found = []
    for line in re.sub(r"(\r?\n)?[ \t]+", " ", text).split("\n"):  # runs of spaces would cost patterns their time
        line = line.removesuffix("\r")
        if not line:
            continue
        match = _HEADER.fullmatch(line)
        if match is None:
            raise _Bad("bad_header")
        name = COMPACT.get(match[1].lower(), match[1])
        found.append((name, match[2].strip()))
        if len(found) > MAX_HEADERS:
            raise _Bad("too_many_headers")
    return tuple(found)


def _message(start: str, headers: tuple[tuple[str, str], ...], body: bytes, size: int) -> Request | Response:
    names = [name.lower() for name, _ in headers]
    if any(names.count(name) > 1 for name in ONCE):
        raise _Bad("header_twice")
    if any(name not in names for name in NEEDED):
        raise _Bad("header_missing")
    sequence = _CSEQ.fullmatch(value(headers, "CSeq"))
    if sequence is None or int(sequence[1]) >= 1 << 31:
        raise _Bad("bad_cseq")
    vias(headers)
    for name in ("From", "To"):
        _party(value(headers, name))
    body = _body(headers, body)
    if status := _STATUS.fullmatch(start):
        return Response(int(status[1]), status[2], headers, body)
    request = _REQUEST.fullmatch(start)
    if request is None:
        raise _Bad("bad_start")
    if (request[3], request[4]) != ("2", "0"):
        raise _Bad("bad_version 505")
    if sequence[2] != request[1]:
        raise _Bad("cseq_method")
    if size > MAX_DATAGRAM_BYTES:
        raise _Bad("too_long 513")
    _request_uri(request[2])
    return Request(request[1], request[2], headers, body)


def _request_uri(text: str) -> None:
    if not re.match(r"[A-Za-z][A-Za-z0-9+.\-]*:", text) or "<" in text:
        raise _Bad("bad_uri")
    if not text.lower().startswith(("sip:", "sips:")):
        raise _Bad("uri_scheme 416")
    found = uri(text)
    if found is None or "?" in text.rpartition("@")[2]:  # header fields have no place in a Request-URI (§19.1.1)
        raise _Bad("bad_uri")


def _body(headers: tuple[tuple[str, str], ...], body: bytes) -> bytes:
    written = value(headers, "Content-Length")
    if not written and "content-length" not in (name.lower() for name, _ in headers):
        return body  # over UDP a datagram's end is the body's (§18.3)
    if not re.fullmatch(r"\d{1,8}", written) or int(written) > len(body):
        raise _Bad("bad_length")
    return body[: int(written)]


def _complaint(start: str, headers: tuple[tuple[str, str], ...], code: int) -> bytes:
    """An answer to a request that is wrong, where it says well enough whom to answer. ACK is never answered."""
    if start.startswith(("SIP/", "ACK ")):
        return b""
    try:
        vias(headers)
    except _Bad:
        return b""
    return answer(Request("", "", headers, b""), code, tag="bad").encode()


def _party(text: str) -> None:
    if text.count('"') % 2 and not re.search(r'\\"', text):
        raise _Bad("bad_address")
    if _NAME_ADDR.fullmatch(text) is None and _ADDR_SPEC.fullmatch(text) is None:
        raise _Bad("bad_address")


# --- what is in a message


def value(headers: Iterable[tuple[str, str]], name: str) -> str:
    """The first of that name; empty when there is none."""
    wanted = name.lower()
    return next((text for each, text in headers if each.lower() == wanted), "")


def values(headers: Iterable[tuple[str, str]], name: str) -> list[str]:
    """All of that name, lists taken apart at their commas."""
    wanted = name.lower()
    return [part for each, text in headers if each.lower() == wanted for part in _split(text)]


def _split(text: str) -> list[str]:
    """At commas, but for those in quotes and in angle brackets. Linear, whatever comes."""
    parts, start, quoted, bracketed, escaped = [], 0, False, False, False
    for at, letter in enumerate(text):
        if escaped or (quoted and letter == "\\"):
            escaped = not escaped
        elif letter == '"' and not bracketed:
            quoted = not quoted
        elif letter in "<>" and not quoted:
            bracketed = letter == "<"
        elif letter == "," and not quoted and not bracketed:
            parts.append(text[start:at])
            start = at + 1
    return [part.strip() for part in (*parts, text[start:]) if part.strip()]


def vias(headers: Iterable[tuple[str, str]]) -> list[Via]:
    """From the last hop to the first."""
    found = []
    for text in values(headers, "Via"):
        match = _VIA.fullmatch(text)
        if match is None or not 0 < int(match[3] or 5060) < 65536:
            raise _Bad("bad_via")
        found.append(Via(match[1].upper(), match[2], int(match[3] or 5060), (match[4] or "").strip()))
    if not 0 < len(found) <= MAX_VIAS:
        raise _Bad("bad_via")
    return found


def uri(text: str) -> Uri | None:
    """A SIP address, bare or in angle brackets with what stands around it; None for anything else."""
    bracketed = _NAME_ADDR.fullmatch(text)
    match = _URI.fullmatch(bracketed[1] if bracketed else text.strip())
    if match is None or int(match[4] or 1) > 65535:
        return None
    return Uri(match[1].lower(), match[2] or "", match[3], int(match[4] or 0), match[5])


def tag(text: str) -> str:
    """Of a From or To; empty when there is none."""
    bracketed = _NAME_ADDR.fullmatch(text)
    match = _TAG.search((bracketed[2] or "") if bracketed else text)
    return match[1] if match else ""


def user(text: str) -> str:
    """Whom a From, a To or a Request-URI names: its user part, unescaped, without a password."""
    found = uri(text if "<" in text else text.partition(";")[0])
    name = found.user.partition(":")[0].partition(";")[0] if found else ""
    return re.sub(r"%([0-9A-Fa-f]{2})", lambda m: chr(int(m[1], 16)), name)


# --- answers


def answer(
    request: Request, code: int, tag: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b""
) -> Response:
    """The answer to a request (§8.2.6); `tag` is for its To where that has none."""
    to = value(request.headers, "To")
    if to and code > 100 and ";tag=" not in to.replace(" ", "").lower():
        to = f"{to};tag={tag}"
    kept = [("Via", str(via)) for via in vias(request.headers)]
    kept += [(name, value(request.headers, name)) for name in ("From", "Call-ID", "CSeq")]
    kept.insert(-2, ("To", to))
    return Response(code, REASONS[code], (*kept, *headers), body)


def options(to: Address, ours: Address, nonce: str) -> Request:
    """Ask somebody how they are; `nonce` makes it another question."""
    headers = (
        ("Via", f"SIP/2.0/UDP {ours.host}:{ours.port};rport;branch={COOKIE}{nonce}"),
        ("Max-Forwards", "1"),
        ("From", f"<sip:voicebot@{ours.host}>;tag={nonce}"),
        ("To", f"<sip:{to.host}:{to.port}>"),
        ("Call-ID", nonce),
        ("CSeq", "1 OPTIONS"),
    )
    return Request("OPTIONS", f"sip:{to.host}:{to.port}", headers, b"")


def received(request: Request, source: Address) -> Request:
    """With the address it truly came from in its top Via (§18.2.1, RFC 3581 §4)."""
    top, *others = vias(request.headers)
    params = re.sub(r";\s*(received|rport)\s*(=[^;]*)?(?=;|$)", "", top.params, flags=re.I)
    host = f"[{source.host}]" if ":" in source.host else source.host
    params += f";received={host}"
    if top.param("rport") is not None:
        params += f";rport={source.port}"
    return replace(request, headers=with_vias(request.headers, [top._replace(params=params), *others]))


def with_vias(headers: Iterable[tuple[str, str]], hops: Iterable[Via]) -> tuple[tuple[str, str], ...]:
    """The headers with these hops and no others."""
    rest = [(name, text) for name, text in headers if name.lower() != "via"]
    return (*(("Via", str(via)) for via in hops), *rest)


def with_header(headers: Iterable[tuple[str, str]], name: str, texts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """The headers with `name` having exactly these values, each on a line of its own, behind the Vias."""
    rest = [(each, text) for each, text in headers if each.lower() != name.lower()]
    hops = sum(each.lower() == "via" for each, _ in rest)
    return (*rest[:hops], *((name, text) for text in texts), *rest[hops:])


def _encode(start: str, headers: Iterable[tuple[str, str]], body: bytes) -> bytes:
    lines = [start, *(f"{name}: {text}" for name, text in headers if name.lower() != "content-length")]
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body

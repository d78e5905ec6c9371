"""SIP messages that are hard to read or wrong: one for each of the 49 that RFC 4475 describes, under its short names
and written anew, and more that are hostile. With what the door must make of each."""

from __future__ import annotations

import random
from dataclasses import dataclass

WORKER, SILENCE = "worker", "silence"
"""It goes on to a worker; nothing comes back at all."""


@dataclass(frozen=True)
class Torture:
    name: str
    data: bytes
    expected: tuple[object, ...]
    """Codes, `WORKER` or `SILENCE`: any of them is right."""


SDP = "v=0\r\no=a 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 49170 RTP/AVP 0\r\n"


class Draft:
    """A good request that a case then spoils. Headers are a list of (name, value)."""

    def __init__(self, name: str, method: str, host: str, called: str = "+15550002222") -> None:
        self.name, self.start = name, f"{method} sip:{called}@{host} SIP/2.0"
        self.body = SDP if method == "INVITE" else ""
        self.headers = [
            ("Via", f"SIP/2.0/UDP {host}:@PORT@;rport;branch=z9hG4bK{name}"),
            ("Max-Forwards", "70"),
            ("From", f"<sip:tester@{host}>;tag=t{name}"),
            ("To", f"<sip:{called}@{host}>"),
            ("Call-ID", f"{name}.torture"),
            ("CSeq", f"17 {method}"),
            ("Contact", f"<sip:tester@{host}:@PORT@>"),
        ]
        if self.body:
            self.headers.append(("Content-Type", "application/sdp"))
        self.length: str | None = ""

    def set(self, name: str, value: str) -> Draft:
        self.headers = [(n, value if n == name else v) for n, v in self.headers]
        if name not in [n for n, _ in self.headers]:
            self.headers.append((name, value))
        return self

    def add(self, name: str, value: str) -> Draft:
        self.headers.append((name, value))
        return self

    def drop(self, *names: str) -> Draft:
        self.headers = [(n, v) for n, v in self.headers if n not in names]
        return self

    def begin(self, start: str) -> Draft:
        self.start = start
        return self

    def bytes(self, port: int) -> bytes:
        lines = [self.start, *(f"{n}: {v}" for n, v in self.headers)]
        if self.length is not None:
            lines.append(f"Content-Length: {self.length or len(self.body)}")
        text = "\r\n".join(lines) + "\r\n\r\n" + self.body
        return text.replace("@PORT@", str(port)).encode("utf-8", "surrogateescape")


def rfc4475(host: str, port: int) -> list[Torture]:
    """All 49, as if a phone at `host`:`port` had sent them."""
    found: list[Torture] = []

    def case(draft: Draft, *expected: object, data: bytes = b"") -> None:
        found.append(Torture(draft.name, data or draft.bytes(port), expected))

    def request(name: str, method: str = "OPTIONS") -> Draft:
        return Draft(name, method, host)

    def response(name: str, start: str) -> Draft:
        return request(name, "INVITE").begin(start)

    uri = f"sip:+15550002222@{host}"

    # 3.1.1: well-formed, though it may not look so
    tortuous = request("wsinv", "INVITE").set("To", f"\r\n <{uri}> ;   tag    = 19n").set("CSeq", "0017\r\n  INVITE")
    tortuous.set("From", f'"J \\\\\\""       <sip:j@{host}>\r\n  ;\r\n  tag = 9').set("Max-Forwards", "0068").add(
        "s", ""
    )
    tortuous.add("NewFangled", "one\r\n two").add("Odd", ";;,,;;,;").set("Via", tortuous.headers[0][1] + ' ;x = "a,;b"')
    case(tortuous, 481)
    method = "!interesting-Method_0*+`.%indeed'~"
    case(
        request("intmeth", method).set(
            "From", f"token1~` t'+_ %!.- <sip:m@{host}> ;p''~+*_=\"\u0442\u0435\u0441\u0442\";tag=_t~1'"
        ),
        501,
    )
    case(
        request("esc01", "INVITE")
        .set("To", f"<sip:%75se%72@{host}>")
        .begin(f"INVITE sip:%2B1555000%32222@{host} SIP/2.0"),
        WORKER,
    )
    case(request("escnull", "REGISTER").set("To", f"<sip:null-%00-null@{host}>"), 405)
    case(request("esc02", "RE%47IST%45R"), 501)
    case(request("lwsdisp").set("From", f"caller<sip:caller@{host}>;tag=3"), 200)
    long = request("longreq", "INVITE").set(
        "To", f'"I have a name {"x" * 300}" <sip:{"u" * 200}@{host};{"p" * 150}={"v" * 150}>'
    )
    case(long.set("Call-ID", "c" * 200).add("Unknown-" + "n" * 100, "v" * 600), WORKER)
    first = request("dblreq", "REGISTER").bytes(port)
    case(request("dblreq"), 405, data=first + request("dblreq2", "INVITE").bytes(port))
    case(request("semiuri").begin(f"OPTIONS sip:user;par=u%40example.net@{host} SIP/2.0"), 200)
    hops = [
        f"SIP/2.0/{kind} t{n}.example.com;branch=z9hG4bK{n}" for n, kind in enumerate(("TCP", "SCTP", "TLS", "UNKNOWN"))
    ]
    many = request("transports")
    case(many.set("Via", ", ".join([many.headers[0][1], *hops])), 200)
    parts = request("mpart01", "MESSAGE").set("Content-Type", "multipart/mixed;boundary=7a9cbec02ceef655")
    parts.body = "--7a9cbec02ceef655\r\nContent-Type: text/plain\r\n\r\nHello\r\n--7a9cbec02ceef655--\r\n"
    case(parts, 405)
    case(response("unreason", "SIP/2.0 200 = 2**3 * 5**2 \u043d\u043e \u0441\u0442\u043e"), SILENCE)
    case(response("noreason", "SIP/2.0 100 "), SILENCE)

    # 3.1.2: wrong
    bad = request("badinv01", "INVITE")
    case(bad.set("Via", bad.headers[0][1] + ";;,;,,").set("To", f"<{uri}>;;;;"), 400, SILENCE)
    clerr = request("clerr", "INVITE")
    clerr.length = "9999"
    case(clerr, 400)
    ncl = request("ncl", "INVITE")
    ncl.length = "-999"
    case(ncl, 400)
    case(request("scalar02", "REGISTER").set("CSeq", "36893488147419103232 REGISTER").set("Max-Forwards", "300"), 400)
    case(response("scalarlg", "SIP/2.0 503 Service Unavailable").set("CSeq", "9292394834772304023312 INVITE"), SILENCE)
    case(request("quotbal", "INVITE").set("To", f'"Mr. J. User <sip:j.user@{host}>'), 400)
    case(request("ltgtruri", "INVITE").begin(f"INVITE <{uri}> SIP/2.0"), 400)
    case(request("lwsruri", "INVITE").begin(f"INVITE {uri}; lr SIP/2.0"), 400)
    case(request("lwsstart", "INVITE").begin(f"INVITE  {uri}  SIP/2.0"), 400)
    case(request("trws").begin(f"OPTIONS {uri} SIP/2.0  "), 400)
    case(request("escruri", "INVITE").begin(f"INVITE {uri}?Route=%3Csip:example.com%3E SIP/2.0"), 400)
    case(request("baddate", "INVITE").add("Date", "Fri, 01 Jan 2010 16:00:00 EST"), 400, WORKER)
    case(request("regbadct", "REGISTER").set("Contact", f"sip:user@{host}?Route=%3Csip:s.example.com%3E"), 400, 405)
    case(request("badaspec").set("To", f'"Watson, Thomas" < sip:t.watson@{host} >'), 400, 200)
    case(request("baddn").set("From", f"Bell, Alexander <sip:a.g.bell@{host}>;tag=43"), 400, 200)
    case(request("badvers").begin(f"OPTIONS {uri} SIP/7.0"), 505)
    case(request("mismatch01").set("CSeq", "8 INVITE"), 400)
    case(request("mismatch02", "NEWMETHOD").set("CSeq", "8 INVITE"), 400, 501)
    case(response("bigcode", "SIP/2.0 4294967301 better not break the receiver"), SILENCE)

    # 3.2: transaction
    case(request("badbranch").set("Via", f"SIP/2.0/UDP {host}:@PORT@;rport;branch=z9hG4bK"), 200, 400)

    # 3.3: application
    case(request("insuf", "INVITE").drop("Call-ID", "From", "To"), 400)
    case(request("unkscm").begin("OPTIONS nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0"), 416)
    case(request("novelsc").begin("OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0"), 416)
    case(request("unksm2", "REGISTER").set("To", "isbn:2983792873").set("From", f"<http://{host}>;tag=2"), 405)
    case(request("bext01").add("Require", "nothingSupportsThis").add("Proxy-Require", "noProxiesSupportThis"), 420)
    case(request("invut", "INVITE").set("Content-Type", "application/unknownformat"), 415)
    case(request("regaut01", "REGISTER").add("Authorization", "NoOneKnowsThisScheme opaque-data=here"), 405)
    twice = request("multi01", "INVITE").add("CSeq", "59 INVITE").add("Call-ID", "other").add("To", "<sip:b@c>")
    case(twice.add("Max-Forwards", "5").add("From", "<sip:d@e>;tag=other"), 400)
    case(request("mcl01").add("Content-Length", "13"), 400)
    case(response("bcast", "SIP/2.0 200 OK").set("Via", "SIP/2.0/UDP 192.0.2.198;branch=z9hG4bK1324923"), SILENCE)
    case(request("zeromf").set("Max-Forwards", "0"), 200, 483)
    case(request("cparam01", "REGISTER").set("Contact", f"sip:+19725552222@{host};unknownparam"), 405)
    case(request("cparam02", "REGISTER").set("Contact", f"<sip:+19725552222@{host};unknownparam>"), 405)
    case(request("regescrt", "REGISTER").set("Contact", f"<sip:user@{host}?Route=%3Csip:sip.example.com%3E>"), 405)
    case(request("sdp01", "INVITE").add("Accept", "text/nobodyKnowsThis"), WORKER, 406)

    # 3.4: from before RFC 3261
    old = (
        request("inv2543", "INVITE")
        .set("Via", f"SIP/2.0/UDP {host}:@PORT@")
        .set("From", f"<sip:u@{host}>")
        .drop("Max-Forwards")
    )
    case(old, WORKER)
    return found


def hostile(host: str, port: int, seed: int = 4475) -> list[Torture]:
    """Forty more that nobody means well with. None may reach a worker but those that are understood."""
    chance = random.Random(seed)
    good = Draft("hostile", "OPTIONS", host)
    text = good.bytes(port)
    found = [
        Torture("null", b"\0" * 600, (SILENCE,)),
        Torture("65k", text[:-4] + b"\r\nX: " + b"a" * 60_000 + b"\r\n\r\n", (SILENCE,)),
        Torture("spaces", text.replace(b"From: ", b"From: " + b" " * 3000), (200, 400)),
        Torture("brackets", text.replace(b"To: <", b"To: " + b"<" * 3000), (400,)),
        Torture("quotes", text.replace(b"From: ", b"From: " + b'"' * 3001), (400,)),
        Torture("backslashes", text.replace(b"From: ", b'From: "' + b"\\" * 3000 + b'" '), (200, 400)),
        Torture("vias", text.replace(b"Via: ", b"Via: SIP/2.0/UDP a, " * 150 + b"Via: "), (SILENCE,)),
        Torture("headers", text.replace(b"Max-", b"X: y\r\n" * 400 + b"Max-"), (SILENCE,)),
        Torture("null in a header", text.replace(b"hostile.", b"host\0ile."), (SILENCE,)),
        Torture("null in the start", text.replace(b"sip:+1", b"sip:\0+1"), (400, SILENCE)),
        Torture("no start", text.partition(b"\r\n")[2], (SILENCE, 400)),
        Torture("only a start", text.partition(b"\r\n")[0], (SILENCE,)),
        Torture("http", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", (SILENCE, 400)),
        Torture("rtp", bytes([0x80, 0]) + bytes(170), (SILENCE,)),
        Torture("stun", bytes.fromhex("000100002112a442") + bytes(12), (SILENCE,)),
        Torture("dns", bytes.fromhex("123401000001000000000000") + b"\x07example\x03com\0\0\1\0\1", (SILENCE,)),
        Torture("utf-16", text.decode().encode("utf-16"), (SILENCE,)),
        Torture("latin-1", text.replace(b"tester", b"t\xe9ster"), (200, 400)),
        Torture("overlong", text.replace(b"tester", b"\xc0\xae\xc0\xae"), (200, 400)),
        Torture(
            "port 0",
            text.replace(b"Via: SIP/2.0/UDP %s:%d" % (host.encode(), port), b"Via: SIP/2.0/UDP x:0"),
            (SILENCE,),
        ),
        Torture("answer", text.replace(text.partition(b"\r\n")[0], b"SIP/2.0 200 OK"), (SILENCE,)),
        Torture("ack", Draft("ack", "ACK", host).bytes(port), (SILENCE,)),
        Torture("cancel", Draft("cancel", "CANCEL", host).bytes(port), (481,)),
        Torture("bye", Draft("bye", "BYE", host).bytes(port), (405, 481)),
    ]
    while len(found) < 40:  # good ones with a few bytes changed
        spoiled = bytearray(text)
        for _ in range(chance.randint(1, 8)):
            spoiled[chance.randrange(len(spoiled))] = chance.randrange(256)
        found.append(
            Torture(f"spoiled {len(found)}", bytes(spoiled), (200, 400, 405, 416, 420, 481, 501, 505, SILENCE))
        )
    return found

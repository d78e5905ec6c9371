"""An exchange for tests: takes REGISTER with digest (RFC 2617, MD5), and answers calls that are placed through it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.peers.sip_caller import HOST, Caller, caller
from voicebot.core import sip
from voicebot.core.sip import Address, Request, Response

REALM, NONCE = "test", "a-nonce"


@dataclass
class Registrar:
    """Knows one user. `contact` is where it has registered, as long as it has."""

    user: str
    password: str
    contact: Address | None = None
    refused: int = 0
    expires_s: int = 300
    out_of_order: bool = False
    """It answers 503."""
    silent: bool = False
    """It answers nothing."""
    registered: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, request: Request) -> Response | None:
        """The answer to a REGISTER."""
        if self.silent:
            return None
        if self.out_of_order:
            return sip.answer(request, 503, "r")
        given = dict(re.findall(r'(\w+)="?([^",]*)"?', sip.value(request.headers, "Authorization")))
        if given.get("response") != self._digest(request, given):
            self.refused += 1
            challenge = f'Digest realm="{REALM}", nonce="{NONCE}", algorithm=MD5, qop="auth"'
            answer = sip.answer(request, 403, "r", [("WWW-Authenticate", challenge)])
            return Response(401, "Unauthorized", answer.headers, b"")
        contact = sip.uri(sip.values(request.headers, "Contact")[0])
        assert contact
        leaves = sip.value(request.headers, "Expires") == "0"
        self.contact = None if leaves else contact.address
        self.registered.set()
        expires = f";expires={0 if leaves else self.expires_s}"
        return sip.answer(request, 200, "r", [("Contact", sip.value(request.headers, "Contact") + expires)])

    def _digest(self, request: Request, given: dict[str, str]) -> str:
        def md5(text: str) -> str:
            return hashlib.md5(text.encode()).hexdigest()

        secret = md5(f"{self.user}:{REALM}:{self.password}")
        what = md5(f"{request.method}:{given.get('uri', '')}")
        return md5(f"{secret}:{given.get('nonce')}:{given.get('nc')}:{given.get('cnonce')}:{given.get('qop')}:{what}")


@asynccontextmanager
async def registrar(user: str, password: str) -> AsyncIterator[tuple[Registrar, Caller]]:
    """At the phone's `sip_port` of this machine, and the phone."""
    async with caller(0) as phone:
        exchange = Registrar(user, password)
        phone.registers = exchange.take
        yield exchange, phone


async def certificate_for_localhost(folder: Path) -> Path:
    """Made here and now, its own authority; `key.pem` lies beside it."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2")
    make = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, *subject)
    await asyncio.to_thread(subprocess.run, ["openssl", *make], check=True, capture_output=True)
    return certificate


class _Connection:
    """What a phone sends its datagrams by, were it one of datagrams."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer

    def sendto(self, data: bytes, _: object) -> None:
        self.writer.write(data)

    def close(self) -> None:
        self.writer.close()


@asynccontextmanager
async def tcp_registrar(
    user: str, password: str, trust: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[Registrar, Caller]]:
    """The same over TCP, or TLS with `trust`: the phone answers and calls by the connection that came last."""
    async with registrar(user, password) as (exchange, phone):
        phone.transport = "TCP"

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            phone._sip.close()
            phone._sip = _Connection(writer)  # type: ignore[assignment]
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                while head := await reader.readuntil(b"\r\n\r\n"):
                    length = re.search(rb"Content-Length:\s*(\d+)", head, re.I)
                    phone._take(head + await reader.readexactly(int(length[1]) if length else 0))
            writer.close()

        server = await asyncio.start_server(talk, HOST, 0, ssl=trust)
        phone.sip_port = server.sockets[0].getsockname()[1]
        try:
            yield exchange, phone
        finally:
            server.close()


@asynccontextmanager
async def tls_registrar(folder: Path, user: str, password: str) -> AsyncIterator[tuple[Registrar, int, Path]]:
    """The same over TLS, at a port of `localhost`, and the file of who vouches for it."""
    certificate = await certificate_for_localhost(folder)
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trust.load_cert_chain(certificate, folder / "key.pem")
    async with tcp_registrar(user, password, trust) as (exchange, phone):
        yield exchange, phone.sip_port, certificate


__all__ = ["HOST", "Registrar", "certificate_for_localhost", "registrar", "tcp_registrar", "tls_registrar"]

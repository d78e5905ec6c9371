"""An exchange for tests: takes REGISTER with digest (RFC 2617, MD5), and answers calls that are placed through it."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.peers.sip_caller import HOST, Caller, caller
from voicebot.core import sip
from voicebot.core.sip import Address, Request, Response

REALM, NONCE = "test", "a-nonce"


@dataclass
class Registrar:
    """Knows one user. `contact` is where it has registered."""

    phone: Caller
    user: str
    password: str
    contact: Address | None = None
    refused: int = 0
    registered: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, request: Request) -> Response:
        """The answer to a REGISTER."""
        given = dict(re.findall(r'(\w+)="?([^",]*)"?', sip.value(request.headers, "Authorization")))
        if given.get("response") != self._digest(request, given):
            self.refused += 1
            challenge = f'Digest realm="{REALM}", nonce="{NONCE}", algorithm=MD5, qop="auth"'
            answer = sip.answer(request, 403, "r", [("WWW-Authenticate", challenge)])
            return Response(401, "Unauthorized", answer.headers, b"")
        contact = sip.uri(sip.values(request.headers, "Contact")[0])
        assert contact
        self.contact = contact.address
        self.registered.set()
        expires = sip.value(request.headers, "Expires") or "300"
        return sip.answer(
            request, 200, "r", [("Contact", sip.value(request.headers, "Contact") + f";expires={expires}")]
        )

    def _digest(self, request: Request, given: dict[str, str]) -> str:
        def md5(text: str) -> str:
            return hashlib.md5(text.encode()).hexdigest()

        secret = md5(f"{self.user}:{REALM}:{self.password}")
        what = md5(f"{request.method}:{given.get('uri', '')}")
        return md5(f"{secret}:{given.get('nonce')}:{given.get('nc')}:{given.get('cnonce')}:{given.get('qop')}:{what}")


@asynccontextmanager
async def registrar(user: str, password: str) -> AsyncIterator[Registrar]:
    """At `phone.sip_port` of this machine."""
    async with caller(0) as phone:
        exchange = Registrar(phone, user, password)
        phone.registers = exchange.take
        yield exchange


__all__ = ["HOST", "Registrar", "registrar"]

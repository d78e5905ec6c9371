"""SIP accounts as one setting holds them: an extension of an exchange, or a trunk. Pure.

    sip:101:secret@pbx.example.com
    sip:bot:p%40ss@sip.example.net:5061;transport=tls;srtp=required;proxy=edge.example.net;register=no

Apart by spaces or commas. What is special in a user or password is written as %XX.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from voicebot.errors import UsageError

TRANSPORTS = ("udp", "tcp", "tls")
SRTP = ("off", "optional", "required")
_ACCOUNT = re.compile(
    r"sip:([^:@\s]+)(?::([^@\s]*))?@([A-Za-z0-9.\-_]+|\[[0-9A-Fa-f:]+\])(?::(\d{1,5}))?((?:;[^;\s]+)*)"
)


@dataclass(frozen=True, slots=True)
class Account:
    """`host` is registrar, domain, and where calls go out."""

    user: str
    password: str
    host: str
    port: int = 0
    """0: the transport's own."""
    transport: str = "udp"
    srtp: str = "off"
    """Required refuses a call without; optional takes either; off refuses a call that insists."""
    proxy: str = ""
    """Outbound proxy, host or host:port."""
    register: bool = True

    @property
    def domain(self) -> str:
        return f"{self.host}:{self.port}" if self.port else self.host

    @property
    def name(self) -> str:
        """For a log: no secret in it."""
        return f"{self.user}@{self.domain}"

    def address(self, user: str) -> str:
        """Somebody at this account's exchange."""
        return f"sip:{user}@{self.domain}" + (f";transport={self.transport}" if self.transport != "udp" else "")


def accounts(text: str) -> tuple[Account, ...]:
    """Those in a setting. `ValueError` that names what is wrong, and never a password."""
    return tuple(_account(number, each) for number, each in enumerate(text.replace(",", " ").split(), 1))


Way = tuple[str, Account | None]
"""The SIP address to call, and the account to call it with."""
NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
_ADDRESS = re.compile(r"sips?:[^\s<>\"?]+")


def ways(to: str, own: tuple[Account, ...]) -> list[Way]:
    """To a number or an address, in the order to try them: for a number every account, for an address the account at
    its host, or none. `UsageError` for what is neither."""
    if NUMBER.fullmatch(to) and own:
        return [(account.address(to), account) for account in own]
    if _ADDRESS.fullmatch(to):
        return [(to, next((each for each in own if f"@{each.host}" in to), None))]
    raise UsageError(f"{to} is neither a number such as +15551234567 nor an address such as sip:anna@example.com.")


def _account(number: int, text: str) -> Account:
    match = _ACCOUNT.fullmatch(text)
    if match is None:
        raise ValueError(f"account {number} is not written as sip:user:password@host")
    given = dict(each.partition("=")[::2] for each in (match[5] or "").split(";") if each)
    if unknown := set(given) - {"transport", "srtp", "proxy", "register"}:
        raise ValueError(f"account {number} has an unknown parameter {min(unknown)}")
    for name, choices in (("transport", TRANSPORTS), ("srtp", SRTP), ("register", ("yes", "no"))):
        if given.get(name, choices[0]) not in choices:
            raise ValueError(f"account {number}: {name} is one of {', '.join(choices)}")
    return Account(
        user=unquote(match[1]),
        password=unquote(match[2] or ""),
        host=match[3],
        port=int(match[4] or 0),
        transport=given.get("transport", "udp"),
        srtp=given.get("srtp", "off"),
        proxy=given.get("proxy", ""),
        register=given.get("register", "yes") == "yes",
    )

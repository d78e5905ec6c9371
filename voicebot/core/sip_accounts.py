"""SIP accounts as one setting holds them: an extension of an exchange, or a trunk. Pure.

    sip:101:secret@pbx.example.com;backup=pbx2.example.com:5070
    sip:bot:p%40ss@sip.example.net:5061;transport=tls;srtp=required;proxy=edge.example.net;register=no

Apart by spaces or commas. What is special in a user or password is written as %XX. `backup` may come more than once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import unquote

from voicebot.core import sip
from voicebot.errors import UsageError

TRANSPORTS = ("udp", "tcp", "tls")
IPV4_ONLY = "SIP is spoken over IPv4 only here: give a name or an IPv4 address"
SRTP = ("off", "optional", "required")
_ACCOUNT = re.compile(
    r"sip:([^:@\s]+)(?::([^@\s]*))?@([A-Za-z0-9.\-_]+|\[[0-9A-Fa-f:]+\])(?::(\d{1,5}))?((?:;[^;\s]+)*)"
)
_PLACE = re.compile(r"([A-Za-z0-9.\-_]+)(?::(\d{1,5}))?")


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
    backups: tuple[str, ...] = ()
    """Host or host:port, in order, for when the one before does not answer. Each stands for the proxy where there is
    one, else for `host`."""

    @property
    def places(self) -> tuple[Account, ...]:
        """It, and what it is at each of its backups."""
        return (self, *(self._at(backup) for backup in self.backups))

    def _at(self, backup: str) -> Account:
        if self.proxy:
            return replace(self, proxy=backup, backups=())
        host, _, port = backup.partition(":")
        return replace(self, host=host, port=int(port or 0), backups=())

    @property
    def apart(self) -> tuple[Account, ...]:
        """Its places as accounts of their own, of which the first registers, if it does."""
        first, *others = self.places
        return (replace(first, backups=()), *(replace(each, register=False) for each in others))

    @property
    def next_hop(self) -> str:
        """Where its messages go: host, or host:port."""
        return self.proxy or self.domain

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

    def moved(self, to: str, place: Account) -> str:
        """An address at this account's exchange, at one of its places."""
        found = sip.uri(to)
        if place == self or found is None or found.host != self.host or found.port not in (0, self.port):
            return to
        written = f"{found.host}:{found.port}" if found.port else found.host
        return to.replace(f"@{written}", f"@{place.domain}", 1)


def accounts(text: str) -> tuple[Account, ...]:
    """Those in a setting. `ValueError` that names what is wrong, and never a password. One that is not registered and
    has backups is several: whether such a place works, only a call tells, and a call tries one account after another.
    """
    found: list[Account] = []
    for number, each in enumerate(text.replace(",", " ").split(), 1):
        account = _account(number, each)
        found += (account,) if account.register else account.apart
    return tuple(found)


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
        return [(to, next((each for each in own if _at_host(to, each)), None))]
    raise UsageError(f"{to} is neither a number such as +15551234567 nor an address such as sip:anna@example.com.")


def _at_host(to: str, account: Account) -> bool:
    found = sip.uri(to)
    return found is not None and found.host == account.host


def _account(number: int, text: str) -> Account:
    match = _ACCOUNT.fullmatch(text)
    if match is None:
        raise ValueError(f"account {number} is not written as sip:user:password@host")
    pairs = [each.partition("=")[::2] for each in (match[5] or "").split(";") if each]
    given, backups = dict(pairs), tuple(value for name, value in pairs if name == "backup")
    if unknown := set(given) - {"transport", "srtp", "proxy", "register", "backup"}:
        raise ValueError(f"account {number} has an unknown parameter {min(unknown)}")
    if any("[" in place for place in (match[3], given.get("proxy", ""), *backups)):
        raise ValueError(f"account {number}: {IPV4_ONLY}")
    for name, place in (*(("backup", each) for each in backups), ("proxy", given.get("proxy", "none"))):
        if not _PLACE.fullmatch(place):
            raise ValueError(f"account {number}: {name} is written as host or host:port")
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
        backups=backups,
    )

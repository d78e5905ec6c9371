"""Who may speak SIP to us, and how often. Pure: time comes in as `now_s`."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Iterable

MAX_SOURCES = 10_000
"""Sources remembered; over it the one that was quiet longest goes."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks(text: str) -> tuple[Network, ...]:
    """Addresses and networks, apart by commas or spaces. `ValueError` that names the one that is none."""
    return tuple(ipaddress.ip_network(each, strict=False) for each in text.replace(",", " ").split())


def within(host: str, allowed: Iterable[Network]) -> bool:
    """Whether an address is in one of them; what is no address is in none."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return any((mapped or address) in network for network in allowed)


def private(host: str) -> bool:
    """An address that leads nowhere from outside of its own network."""
    return within(host, PRIVATE)


PRIVATE = networks(
    "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 fc00::/7 fe80::/10"
)


class Buckets:
    """So many messages at once from a source, and so many a second after that (a token bucket each)."""

    def __init__(self, burst: float, per_second: float) -> None:
        self._burst, self._per_second = burst, per_second
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def takes(self, source: str, now_s: float) -> bool:
        """Whether one more may come."""
        left, at_s = self._left.pop(source, (self._burst, now_s))
        left = min(self._burst, left + (now_s - at_s) * self._per_second)
        fits = left >= 1
        self._left[source] = (left - 1 if fits else left, now_s)
        if len(self._left) > MAX_SOURCES:
            self._left.popitem(last=False)
        return fits

"""Who may speak SIP to us, and how often."""

from __future__ import annotations

import pytest

from voicebot.core.sip_limits import MAX_SOURCES, Buckets, networks, private, within


def test_addresses_and_networks_are_allowed_and_nothing_else() -> None:
    allowed = networks("10.1.0.0/16, 192.0.2.7  ::1")
    assert [True, True, True, True, False, False] == [
        within(host, allowed) for host in ("10.1.2.3", "192.0.2.7", "::1", "::ffff:192.0.2.7", "192.0.2.8", "nobody")
    ]


def test_what_is_no_network_is_named() -> None:
    with pytest.raises(ValueError, match=r"300\.1\.1\.1"):
        networks("10.0.0.1 300.1.1.1")


def test_a_source_has_its_burst_and_then_so_many_a_second() -> None:
    buckets = Buckets(3, 2)
    assert [True, True, True, False] == [buckets.takes("a", 0.0) for _ in range(4)]
    assert [True, False] == [buckets.takes("a", 0.5) for _ in range(2)]
    assert buckets.takes("b", 0.5)


def test_a_flood_of_sources_is_remembered_within_bounds() -> None:
    buckets = Buckets(1, 0)
    for number in range(MAX_SOURCES + 10):
        buckets.takes(str(number), 0.0)
    assert MAX_SOURCES == len(buckets._left)
    assert not buckets.takes(str(MAX_SOURCES + 5), 0.0)


def test_private_addresses_lead_nowhere_from_outside() -> None:
    assert [True, False, False] == [private(host) for host in ("192.168.1.2", "8.8.8.8", "phone.example.com")]

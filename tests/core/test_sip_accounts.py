"""Accounts as one setting holds them."""

from __future__ import annotations

import pytest

from voicebot.core.sip_accounts import Account, accounts, ways

NUMBER = "+15550100"


def test_accounts_are_apart_by_spaces_or_commas() -> None:
    one, two = accounts("sip:101:secret@pbx.example.com, sip:bot:p%40ss@10.0.0.7:5061;transport=tls;srtp=required")
    assert Account("101", "secret", "pbx.example.com") == one
    assert Account("bot", "p@ss", "10.0.0.7", 5061, "tls", "required") == two


def test_a_trunk_that_knows_us_by_address_is_not_registered_with() -> None:
    [trunk] = accounts("sip:trunk@192.0.2.1;register=no;proxy=edge.example.net:5080")
    assert ("", False, "edge.example.net:5080") == (trunk.password, trunk.register, trunk.proxy)


def test_backups_take_the_place_of_the_proxy_or_else_of_the_host() -> None:
    plain, behind = accounts("sip:101:x@pbx:5062;backup=b:5070;backup=c sip:102:x@pbx;proxy=edge;backup=edge2:5061")
    assert ["pbx:5062", "b:5070", "c"] == [place.next_hop for place in plain.places] == [p.domain for p in plain.places]
    assert [("edge", "pbx"), ("edge2:5061", "pbx")] == [(place.next_hop, place.domain) for place in behind.places]


def test_an_address_at_the_exchange_moves_with_it_and_others_do_not() -> None:
    [account] = accounts("sip:101:x@pbx:5062;transport=tcp;backup=pbx2")
    here, backup = account.places
    assert "sip:+15550100@pbx2;transport=tcp" == account.moved(account.address("+15550100"), backup)
    assert "sip:anna@pbx2" == account.moved("sip:anna@pbx", backup)
    assert "sip:anna@pbx" == account.moved("sip:anna@pbx", here)
    for other in ("sip:anna@pbx:5060", "sip:anna@pbx.example.com", "sip:pbx@example.com", "no address"):
        assert other == account.moved(other, backup)


def test_a_trunk_without_registration_is_as_many_accounts_as_it_has_places() -> None:
    own = accounts("sip:trunk@pbx;register=no;backup=pbx2:5070 sip:101:x@other")
    assert ["sip:+15550100@pbx", "sip:+15550100@pbx2:5070", "sip:+15550100@other"] == [
        to for to, _ in ways(NUMBER, own)
    ]


def test_a_process_that_only_calls_out_registers_with_the_first_place_alone() -> None:
    [account] = accounts("sip:101:x@pbx;backup=pbx2;backup=pbx3")
    assert [("pbx", True, ()), ("pbx2", False, ()), ("pbx3", False, ())] == [
        (each.host, each.register, each.backups) for each in account.apart
    ]


def test_an_address_is_called_with_the_account_at_that_very_host() -> None:
    own = accounts("sip:101:x@pbx")
    assert [("sip:anna@pbx;transport=tcp", own[0])] == ways("sip:anna@pbx;transport=tcp", own)
    assert [("sip:anna@pbx.example.com", None)] == ways("sip:anna@pbx.example.com", own)


@pytest.mark.parametrize("text", ["sip:a:x@[2001:db8::1]", "sip:a:x@pbx;proxy=[::1]:5060", "sip:a:x@pbx;backup=[::1]"])
def test_ipv6_is_refused_with_one_clear_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="account 1: SIP is spoken over IPv4 only"):
        accounts(text)


def test_an_address_at_the_exchange_is_one_over_its_transport() -> None:
    [account] = accounts("sip:101:secret@pbx.example.com:5062;transport=tcp")
    assert "sip:+15550100@pbx.example.com:5062;transport=tcp" == account.address("+15550100")


@pytest.mark.parametrize(
    "text",
    ["sip:101:secret@", "https://pbx"]
    + [f"sip:a:secret@b;{wrong}" for wrong in ("transport=pigeon", "tls=yes", "srtp=maybe", "backup=", "proxy=a:b")],
)
def test_what_is_wrong_is_said_without_the_password(text: str) -> None:
    with pytest.raises(ValueError, match="account 2") as wrong:
        accounts(f"sip:fine@pbx {text}")
    assert "secret" not in str(wrong.value)


def test_its_name_in_a_log_has_no_password() -> None:
    assert "101@pbx:5062" == accounts("sip:101:secret@pbx:5062")[0].name

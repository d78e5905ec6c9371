"""Accounts as one setting holds them."""

from __future__ import annotations

import pytest

from voicebot.core.sip_accounts import Account, accounts


def test_accounts_are_apart_by_spaces_or_commas() -> None:
    one, two = accounts("sip:101:secret@pbx.example.com, sip:bot:p%40ss@10.0.0.7:5061;transport=tls;srtp=required")
    assert Account("101", "secret", "pbx.example.com") == one
    assert Account("bot", "p@ss", "10.0.0.7", 5061, "tls", "required") == two


def test_a_trunk_that_knows_us_by_address_is_not_registered_with() -> None:
    [trunk] = accounts("sip:trunk@[2001:db8::1];register=no;proxy=edge.example.net:5080")
    assert ("", False, "edge.example.net:5080") == (trunk.password, trunk.register, trunk.proxy)


def test_an_address_at_the_exchange() -> None:
    [account] = accounts("sip:101:secret@pbx.example.com:5062;transport=tcp")
    assert "sip:+15550100@pbx.example.com:5062;transport=tcp" == account.address("+15550100")


@pytest.mark.parametrize(
    "text",
    ["sip:101:secret@", "https://pbx"]
    + [f"sip:a:secret@b;{wrong}" for wrong in ("transport=pigeon", "tls=yes", "srtp=maybe")],
)
def test_what_is_wrong_is_said_without_the_password(text: str) -> None:
    with pytest.raises(ValueError, match="account 2") as wrong:
        accounts(f"sip:fine@pbx {text}")
    assert "secret" not in str(wrong.value)


def test_its_name_in_a_log_has_no_password() -> None:
    assert "101@pbx:5062" == accounts("sip:101:secret@pbx:5062")[0].name

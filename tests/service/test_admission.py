"""Tokens, passes and doors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.service import admission
from voicebot.service.admission import Doors, Grant, Links, Tokens

GRANT = Grant("CA1", "coffee", "+15550001111", "+15550002222")


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_token_opens_its_call_once() -> None:
    tokens = Tokens()
    token = tokens.mint(GRANT)
    assert GRANT == tokens.redeem(token, "CA1")
    assert tokens.redeem(token, "CA1") is None


def test_a_token_has_128_bits_and_no_two_are_alike() -> None:
    tokens = Tokens()
    minted = {tokens.mint(GRANT) for _ in range(1000)}
    assert 1000 == len(minted)
    assert {22} == {len(token) for token in minted}  # 16 bytes in base64


def test_a_token_shown_with_another_call_is_used_up() -> None:
    tokens = Tokens()
    token = tokens.mint(GRANT)
    assert tokens.redeem(token, "CA2") is None
    assert tokens.redeem(token, "CA1") is None


def test_a_token_without_a_call_opens_any() -> None:
    tokens = Tokens()
    grant = Grant("", "coffee", "browser", "coffee")
    assert grant == tokens.redeem(tokens.mint(grant), "CAwhatever")


@pytest.mark.parametrize(("age_s", "opens"), [(0.0, True), (59.9, True), (60.1, False), (3600.0, False)])
def test_a_token_is_good_for_a_minute(age_s: float, opens: bool) -> None:
    clock = Clock()
    tokens = Tokens(clock)
    token = tokens.mint(GRANT)
    clock.now_s += age_s
    assert opens == (tokens.redeem(token, "CA1") is not None)


def test_calls_whose_tokens_are_new_are_on_their_way() -> None:
    clock = Clock()
    tokens = Tokens(clock)
    old, new = tokens.mint(GRANT), [tokens.mint(GRANT) for _ in range(2)]
    assert 3 == tokens.fresh
    tokens.redeem(new[0], "CA1")
    clock.now_s += 9
    tokens.mint(GRANT)
    clock.now_s += 2
    assert 1 == tokens.fresh
    assert GRANT == tokens.redeem(old, "CA1")


def test_tokens_that_nobody_uses_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MAX_TOKENS", 3)
    tokens = Tokens()
    minted = [tokens.mint(GRANT) for _ in range(5)]
    assert [None, None, GRANT, GRANT, GRANT] == [tokens.redeem(token, "CA1") for token in minted]


@given(st.text(), st.text())
def test_whatever_is_shown_is_no_token(token: str, call_sid: str) -> None:
    tokens = Tokens()
    tokens.mint(GRANT)
    assert tokens.redeem(token, call_sid) is None


def test_a_pass_opens_what_it_was_signed_for_until_it_is_too_old() -> None:
    clock = Clock()
    links = Links(clock)
    signed = links.sign("call-1")
    assert links.opens(signed, "call-1")
    assert not links.opens(signed, "call-2")
    clock.now_s += 301
    assert not links.opens(signed, "call-1")


def test_a_pass_of_another_process_opens_nothing() -> None:
    assert not Links().opens(Links().sign("call-1"), "call-1")


@given(st.text())
def test_whatever_is_shown_is_no_pass(shown: str) -> None:
    assert not Links().opens(shown, "call-1")


def test_a_pass_cannot_be_made_to_last_longer() -> None:
    links = Links(Clock())
    until, _, seal = links.sign("call-1").partition(".")
    assert not links.opens(f"{int(until) + 1}.{seal}", "call-1")
    assert not links.opens(f".{seal}", "call-1")


def test_the_house_is_full_at_its_limit_and_has_room_when_somebody_leaves() -> None:
    doors = Doors(2, 2)
    doors.enter("a")
    doors.enter("b")
    assert "busy" == doors.full("c")
    doors.leave("a")
    assert doors.full("c") is None


def test_one_caller_cannot_fill_the_house() -> None:
    doors = Doors(10, 2)
    doors.enter("a")
    doors.enter("a")
    assert "too many calls from this caller" == doors.full("a")
    assert doors.full("b") is None
    assert doors.full("") is None  # withheld numbers are many people


def test_callers_who_left_are_forgotten() -> None:
    doors = Doors(10, 2)
    for n in range(100):
        doors.enter(str(n))
        doors.leave(str(n))
    assert (0, {}) == (doors.inside, dict(doors._callers))

"""Who may speak as Twilio: thirty-odd requests, right and wrong, and Twilio's own library as the judge."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from voicebot.core.twilio_signature import signature, valid

TOKEN = "12345"
URL = "https://bot.example.com/twilio/voice"
STREAM = "wss://bot.example.com/twilio/stream"
FORM = [("CallSid", "CA1"), ("From", "+15550001111"), ("To", "+15550002222"), ("CallerName", "")]


def test_the_example_in_twilios_documentation_comes_out_as_printed_there() -> None:
    form = {
        "CallSid": "CA1234567890ABCDE",
        "Caller": "+12349013030",
        "Digits": "1234",
        "From": "+12349013030",
        "To": "+18005551212",
    }
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert "0/KCTR6DLpKmkAf8muzZqo1nDgQ=" == signature(TOKEN, url, form.items())


GOOD: dict[str, tuple[str, str, list[tuple[str, str]]]] = {
    # what it is: (URL as configured, URL as Twilio signed it, form)
    "a call": (URL, URL, FORM),
    "no form": (URL, URL, []),
    "an order of its own": (URL, URL, FORM[::-1]),
    "fields that Twilio will add one day": (URL, URL, [*FORM, ("StirVerstat", "TN-Validation-Passed-A")]),
    "a name that comes twice": (URL, URL, [*FORM, ("MediaUrl", "b"), ("MediaUrl", "a")]),
    "the same twice": (URL, URL, [*FORM, *FORM]),
    "letters of the world": (URL, URL, [*FORM, ("CallerName", "Zoë Müller 北京 💥")]),
    "spaces and plus signs, decoded": (URL, URL, [*FORM, ("Body", "a b+c")]),
    "characters that forms escape": (URL, URL, [("Body", "a&b=c%20d\r\n")]),
    "upper case before lower": (URL, URL, [("b", "1"), ("B", "2"), ("a", "3")]),
    "a query": (URL + "?x=1&y=2", URL + "?x=1&y=2", FORM),
    "the default port, not configured": (URL, "https://bot.example.com:443/twilio/voice", FORM),
    "the default port, not signed": ("https://bot.example.com:443/twilio/voice", URL, FORM),
    "a port": ("https://bot.example.com:8443/v", "https://bot.example.com:8443/v", FORM),
    "a port that Twilio left out": ("https://bot.example.com:8443/v", "https://bot.example.com/v", FORM),
    "plain http": ("http://127.0.0.1:8080/v", "http://127.0.0.1:8080/v", FORM),
    "a stream": (STREAM, STREAM, []),
    "a stream signed as https": (STREAM, "https://bot.example.com/twilio/stream", []),
    "a stream with a slash at its end": (STREAM, STREAM + "/", []),
    "a stream with its port": (STREAM, "wss://bot.example.com:443/twilio/stream", []),
}


@pytest.mark.parametrize("what", GOOD)
def test_a_request_of_twilios_is_let_in(what: str) -> None:
    configured, signed, form = GOOD[what]
    assert valid(TOKEN, configured, form, signature(TOKEN, signed, form))


BAD: dict[str, tuple[str, str, list[tuple[str, str]], list[tuple[str, str]]]] = {
    # what it is: (token, URL, form as signed, form as sent)
    "another account's token": ("54321", URL, FORM, FORM),
    "an empty token": ("", URL, FORM, FORM),
    "http for https": (TOKEN, URL.replace("https", "http"), FORM, FORM),
    "another host": (TOKEN, "https://evil.example.com/twilio/voice", FORM, FORM),
    "another path": (TOKEN, "https://bot.example.com/twilio/status", FORM, FORM),
    "a slash at its end": (TOKEN, URL + "/", FORM, FORM),
    "no path": (TOKEN, "https://bot.example.com", FORM, FORM),
    "upper case": (TOKEN, URL.upper(), FORM, FORM),
    "another port": (TOKEN, "https://bot.example.com:8443/twilio/voice", FORM, FORM),
    "a query that was not there": (TOKEN, URL + "?x=1", FORM, FORM),
    "another caller": (TOKEN, URL, FORM, [*FORM[:1], ("From", "+15550009999"), *FORM[2:]]),
    "a field more": (TOKEN, URL, FORM, [*FORM, ("Extra", "1")]),
    "a field less": (TOKEN, URL, FORM, FORM[:-2]),
    "an empty field less": (TOKEN, URL, FORM, FORM[:-1]),
    "names in another case": (TOKEN, URL, FORM, [(name.lower(), value) for name, value in FORM]),
    "a plus sign become a space": (TOKEN, URL, FORM, [(name, value.replace("+", " ")) for name, value in FORM]),
    "a second value": (TOKEN, URL, FORM, [*FORM, ("From", "+15550009999")]),
    "no form": (TOKEN, URL, FORM, []),
}


@pytest.mark.parametrize("what", BAD)
def test_a_request_of_a_stranger_is_not(what: str) -> None:
    token, url, signed, sent = BAD[what]
    assert not valid(TOKEN, URL, sent, signature(token, url, signed))


@pytest.mark.parametrize(
    "given", ["", " ", "AAAA", "=", "ÿ", "\ud800", "x" * 10_000, "None", "0/KCTR6DLpKmkAf8muzZqo1nDgQ="]
)
def test_what_is_no_signature_opens_nothing(given: str) -> None:
    assert not valid(TOKEN, URL, FORM, given)


def test_a_good_signature_with_a_letter_changed_opens_nothing() -> None:
    good = signature(TOKEN, URL, FORM)
    for place in range(len(good)):
        changed = good[:place] + ("A" if good[place] != "A" else "B") + good[place + 1 :]
        assert not valid(TOKEN, URL, FORM, changed)


def test_without_a_token_nothing_is_valid() -> None:
    assert not valid("", URL, FORM, signature("", URL, FORM))


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(texts.filter(bool), st.dictionaries(texts, texts, max_size=6))
def test_twilios_own_library_signs_alike(token: str, form: dict[str, str]) -> None:
    judge: Any = RequestValidator(token)
    assert judge.compute_signature(URL, form) == signature(token, URL, form.items())
    assert judge.validate(URL, form, signature(token, URL, form.items()))

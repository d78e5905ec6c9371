"""SIP messages: what is understood, what is not, and that nothing makes the reader fall over."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicebot.core import sip
from voicebot.core.sip import Address, Malformed, Ping, Request, parse

INVITE = (
    "INVITE sip:frontdesk@192.0.2.9 SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 10.0.0.5:5070;rport;branch=z9hG4bKabc\r\n"
    'From: "Ann, of \\"A\\"" <sip:ann@10.0.0.5>;tag=1\r\n'
    "To: <sip:frontdesk@192.0.2.9>\r\n"
    "Call-ID: c1@10.0.0.5\r\n"
    "CSeq: 7 INVITE\r\n"
    "Contact: <sip:ann@10.0.0.5:5070>\r\n"
    "Max-Forwards: 70\r\n"
    "X-Account: 42\r\n"
    "Content-Type: application/sdp\r\n"
    "Content-Length: 4\r\n\r\nv=0\n"
)

PIECES = [b"\r\n", b"<", b">", b'"', b",", b";", b":", b" ", b"\0", b"\xff", b"%", b"@"]


def changed(pattern: str, new: str) -> bytes:
    text, count = re.subn(pattern, new, INVITE, count=1)
    assert count == 1
    return text.encode()


def request(data: bytes) -> Request:
    message = parse(data)
    assert isinstance(message, Request), message
    return message


def test_a_request_is_read_and_written_as_it_was() -> None:
    read = request(INVITE.encode())
    assert ("INVITE", "sip:frontdesk@192.0.2.9", b"v=0\n") == (read.method, read.uri, read.body)
    assert read == request(read.encode())


def test_compact_names_and_folded_lines_are_written_out() -> None:
    text = INVITE.replace("Via:", "v:").replace("Call-ID:", "i :").replace("CSeq: 7", "CSeq:\r\n  7\r\n\t ")
    read = request(text.encode())
    assert "Call-ID: c1@10.0.0.5\r\nCSeq: 7 INVITE\r\n" in read.encode().decode()


def test_bare_line_feeds_are_read_too() -> None:
    assert "INVITE" == request(INVITE.replace("\r\n", "\n").encode()).method


def test_what_follows_the_body_in_a_datagram_is_not_looked_at() -> None:
    assert b"v=0\n" == request(INVITE.encode() + b"INVITE sip:another").body


@pytest.mark.parametrize("ping", [b"", b"\r\n", b"\r\n\r\n", b"\0"])
def test_a_ping_is_no_message(ping: bytes) -> None:
    assert Ping() == parse(ping)


@pytest.mark.parametrize(
    ("pattern", "new", "code"),
    [
        (r"SIP/2\.0\r", "SIP/7.0\r", 505),
        (r"sip:frontdesk@192\.0\.2\.9 SIP", "tel:+15551234 SIP", 416),
        (r"INVITE sip:frontdesk", "INVITE  sip:frontdesk", 400),
        (r"2\.9 SIP/2\.0", "2.9 SIP/2.0 ", 400),
        (r"sip:frontdesk@192\.0\.2\.9 ", "<sip:frontdesk@192.0.2.9> ", 400),
        (r"sip:frontdesk@192\.0\.2\.9 ", "sip:frontdesk@192.0.2.9?Route=%3Csip:x%3E ", 400),
        (r"sip:frontdesk@192\.0\.2\.9 ", "sip:frontdesk@192.0.2.9; lr ", 400),
        (r"CSeq: 7 INVITE", "CSeq: 7 OPTIONS", 400),
        (r"CSeq: 7", "CSeq: 36893488147419103232", 400),
        (r"CSeq: 7", "CSeq: 2147483648", 400),
        (r"Content-Length: 4", "Content-Length: 9999", 400),
        (r"Content-Length: 4", "Content-Length: -999", 400),
        (r"Content-Length: 4", "Content-Length: 4\r\nContent-Length: 4", 400),
        (r"To: <", 'To: "Ann <', 400),
        (r"Call-ID", "Call-ID: another\r\nCall-ID", 400),
        (r"Call-ID: .*\r\n", "", 400),
    ],
)
def test_a_request_that_is_wrong_has_its_answer(pattern: str, new: str, code: int) -> None:
    message = parse(changed(pattern, new))
    assert isinstance(message, Malformed)
    assert message.reply.startswith(f"SIP/2.0 {code} ".encode())
    assert b"\r\nVia: SIP/2.0/UDP 10.0.0.5:5070;rport;branch=z9hG4bKabc\r\n" in message.reply


@pytest.mark.parametrize(
    ("pattern", "new"),
    [
        (r"Via: .*\r\n", ""),
        (r"Via: SIP/2\.0/UDP 10\.0\.0\.5:5070", "Via: SIP/2.0/UDP ;;,"),
        (r":5070;rport", ":99999;rport"),
        (r"X-Account: 42", "X-Account 42"),
        (r"X-Account: 42", "X-Account: 4\0002"),
        (r"X-Account: 42\r\n", "A: 1\r\n" * 200),
        (r"INVITE sip", "ACK sip:x@y SIP/1.0\r\nx: sip"),
    ],
)
def test_what_cannot_be_answered_is_not(pattern: str, new: str) -> None:
    message = parse(changed(pattern, new))
    assert isinstance(message, Malformed)
    assert b"" == message.reply


def test_too_long_is_answered_up_to_a_size_and_beyond_it_is_not_even_read() -> None:
    message = parse(changed("42", "4" * 4000))
    assert isinstance(message, Malformed)
    assert message.reply.startswith(b"SIP/2.0 513 ")
    assert Malformed("too_long") == parse(changed("42", "4" * 60_000))


def test_the_answer_goes_where_the_request_came_from() -> None:
    came = sip.received(request(INVITE.encode()), Address("203.0.113.4", 40123))
    [via] = sip.vias(came.headers)
    assert Address("203.0.113.4", 40123) == via.reply_to
    assert "z9hG4bKabc" == via.param("branch")


def test_without_rport_it_goes_to_the_port_that_is_written() -> None:
    came = sip.received(request(changed(";rport", "")), Address("203.0.113.4", 40123))
    assert Address("203.0.113.4", 5070) == sip.vias(came.headers)[0].reply_to


def test_a_forged_received_is_overwritten() -> None:
    came = sip.received(request(changed(";rport", ";received=198.51.100.1;rport=1")), Address("203.0.113.4", 40123))
    assert Address("203.0.113.4", 40123) == sip.vias(came.headers)[0].reply_to


def test_vias_in_one_line_are_as_good_as_one_a_line() -> None:
    both = request(changed("Via: ", 'Via: SIP / 2.0 / UDP first.example.com: 4000;x="a,b" ,'))
    assert ["first.example.com", "10.0.0.5"] == [via.host for via in sip.vias(both.headers)]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('"Ann" <sip:ann@example.com;x=1>;tag=1', "ann"),
        ("sip:+1%35550100@example.com;tag=1", "+15550100"),
        ("<sips:ann:secret@example.com:5061>", "ann"),
        ("<sip:example.com>", ""),
        ("<tel:+15550100>", ""),
        ("Anonymous <sip:anonymous@anonymous.invalid>", "anonymous"),
    ],
)
def test_whom_an_address_names(text: str, name: str) -> None:
    assert name == sip.user(text)


def test_a_tag_is_the_headers_and_not_the_addresss() -> None:
    assert ["", "b"] == [sip.tag("<sip:x@y;tag=a>"), sip.tag("<sip:x@y;tag=a> ; tag = b")]


@given(st.binary(max_size=2000))
def test_no_bytes_make_it_fall_over(data: bytes) -> None:
    parse(data)


@settings(max_examples=400)
@given(st.data())
def test_no_change_of_a_good_message_makes_it_fall_over(data: st.DataObject) -> None:
    message = bytearray(INVITE.encode())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(message) - 1))
        piece = data.draw(
            st.sampled_from([b"\r\n", b"<", b">", b'"', b",", b";", b":", b" ", b"\0", b"\xff", b"%", b"@"])
        )
        message[at : at + data.draw(st.integers(0, 3))] = piece
    read = parse(bytes(message))
    if isinstance(read, Request):  # what was understood is understood again, by us and whoever comes behind
        again = parse(read.encode())
        assert isinstance(again, Request)
        assert read.encode() == again.encode()
        sip.received(read, Address("10.0.0.1", 5060)).encode()

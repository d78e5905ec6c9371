"""The messages of Moshi's protocol, and the stream that they carry."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.core import moshi
from voicebot.core.moshi import Action, Audio, Control, Fault, Handshake, Malformed, Metadata, Ping, Text, read


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        (b"\x00", Handshake()),
        (b"\x00\x01\x00\x00\x00\x05\x00\x00\x00", Handshake(1, 5)),
        (b"\x01OggS", Audio(b"OggS")),
        (b"\x02 caf\xc3\xa9", Text(" café")),
        (b"\x03\x00", Control(Action.START)),
        (b"\x03\x01", Control(Action.END_TURN)),
        (b"\x03\x02", Control(Action.PAUSE)),
        (b"\x03\x03", Control(Action.RESTART)),
        (b'\x04{"a": 1}', Metadata({"a": 1})),
        (b"\x05no memory", Fault("no memory")),
        (b"\x06", Ping()),
    ],
)
def test_every_kind_is_read(message: bytes, wanted: moshi.Message) -> None:
    assert wanted == read(message)


@pytest.mark.parametrize(
    "message", [b"", b"\x00\x01", b"\x03", b"\x03\x04", b"\x03\x00\x00", b"\x04{", b"\x07", b"\xff"]
)
def test_what_there_is_not_is_a_value_too(message: bytes) -> None:
    assert isinstance(read(message), Malformed)


@given(st.binary(max_size=64))
def test_nothing_that_comes_raises(message: bytes) -> None:
    read(message)
    list(moshi.pages(message))


def page(body: bytes) -> bytes:
    lacing = bytes([255] * (len(body) // 255) + [len(body) % 255])
    return b"OggS" + bytes(22) + bytes([len(lacing)]) + lacing + body


def test_a_stream_is_cut_at_its_pages() -> None:
    first, second = page(b"a" * 600), page(b"b")
    assert [first, second] == list(moshi.pages(first + second + page(b"c" * 20)[:-1]))


def test_the_preamble_is_the_two_pages_that_a_decoder_needs() -> None:
    head, tags, sound = page(b"OpusHead..."), page(b"OpusTags..."), page(b"sound")
    assert head + tags == moshi.preamble(head + tags + sound)

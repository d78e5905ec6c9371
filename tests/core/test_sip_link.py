"""The wire between service and SIP worker: whatever way the bytes come, the messages are the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.core.sip_link import HEADER, MAX_PAYLOAD_BYTES, Heard, Kind, Message, Messages, Say, message

SENT = st.lists(
    st.builds(Message, st.sampled_from(Kind), st.integers(0, 2**32 - 1), st.binary(max_size=400)), max_size=20
)


@given(SENT, st.lists(st.integers(1, 60), min_size=1, max_size=50))
def test_messages_come_out_whole_and_in_order_however_they_are_cut(sent: list[Message], cuts: list[int]) -> None:
    data, messages, got, at, turn = b"".join(each.encode() for each in sent), Messages(), list[Message](), 0, 0
    while at < len(data):
        size = cuts[turn % len(cuts)]
        got += messages.feed(data[at : at + size])
        at, turn = at + size, turn + 1
    assert sent == got


def test_a_reader_that_stops_early_loses_nothing() -> None:
    messages = Messages()
    first = next(iter(messages.feed(Message(Kind.CLEAR, 1).encode() + Message(Kind.CLEAR, 2).encode())))
    assert [1, 2] == [first.call, *(each.call for each in messages.feed(b""))]


@pytest.mark.parametrize("header", [HEADER.pack(MAX_PAYLOAD_BYTES + 1, 1, 1), HEADER.pack(0, 255, 1)])
def test_what_is_no_message_of_ours_is_said_so(header: bytes) -> None:
    with pytest.raises(ValueError):
        list(Messages().feed(header))


def test_facts_are_an_object_or_an_error() -> None:
    assert {"code": 200} == message(Kind.ANSWER, 3, code=200).facts
    for payload in (b"", b"[]", b"{"):
        with pytest.raises(ValueError):
            _ = Message(Kind.ANSWER, 3, payload).facts


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.binary(max_size=400))
def test_audio_keeps_its_place(at: int, epoch: int, sample: int, pcm: bytes) -> None:
    assert Heard(at, epoch, sample, pcm) == Heard.decode(Heard(at, epoch, sample, pcm).encode())
    assert Say(epoch, sample, pcm) == Say.decode(Say(epoch, sample, pcm).encode())

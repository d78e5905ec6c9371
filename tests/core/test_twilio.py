"""The wire: what is understood, and that nothing else does harm."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.malformed_messages import MALFORMED, OUT_OF_ORDER, SID
from voicebot.core import twilio as wire

FRAME = bytes(range(160))


def start(**changes: Any) -> str:
    body = {
        "accountSid": "AC1",
        "streamSid": SID,
        "callSid": "CA1",
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"token": "t"},
    }
    return json.dumps({"event": "start", "sequenceNumber": "1", "start": body | changes, "streamSid": SID})


def media(payload: bytes = FRAME, timestamp: object = "20", sid: str = SID) -> str:
    part = {"track": "inbound", "chunk": "2", "timestamp": timestamp, "payload": b64encode(payload).decode()}
    return json.dumps({"event": "media", "sequenceNumber": "3", "media": part, "streamSid": sid})


def started() -> wire.Stream:
    stream = wire.Stream()
    stream.receive(start())
    return stream


# --- what is understood


def test_a_start_carries_the_ids_and_the_parameters_of_the_twiml() -> None:
    assert wire.Start(SID, "CA1", {"token": "t"}) == wire.parse(start())


def test_media_is_decoded_to_bytes_and_milliseconds() -> None:
    assert wire.Media(FRAME, 20, SID) == wire.parse(media())


@pytest.mark.parametrize("timestamp", ["60", 60])
def test_a_number_may_come_as_a_text_or_as_a_number(timestamp: object) -> None:
    assert wire.Media(FRAME, 60, SID) == wire.parse(media(timestamp=timestamp))


def test_a_key_a_mark_and_a_stop_are_understood() -> None:
    dtmf = {"event": "dtmf", "streamSid": SID, "dtmf": {"track": "inbound_track", "digit": "#"}}
    mark = {"event": "mark", "streamSid": SID, "sequenceNumber": 4, "mark": {"name": "1:160"}}
    stop = {"event": "stop", "streamSid": SID, "stop": {"accountSid": "AC1", "callSid": "CA1"}}
    assert wire.Dtmf("#", SID) == wire.parse(json.dumps(dtmf))
    assert wire.Mark("1:160", SID) == wire.parse(json.dumps(mark))
    assert wire.Stop(SID) == wire.parse(json.dumps(stop))
    assert wire.Connected() == wire.parse('{"event":"connected","protocol":"Call","version":"1.0.0"}')


def test_fields_that_are_not_known_are_of_no_matter() -> None:
    message = json.loads(media()) | {"new": {"field": [1, 2]}}
    assert wire.Media(FRAME, 20, SID) == wire.parse(json.dumps(message))


# --- what is not


def test_there_are_as_many_bad_messages_as_promised() -> None:
    assert len(MALFORMED) + len(OUT_OF_ORDER) >= 120


@pytest.mark.parametrize(("reason", "message"), MALFORMED)
def test_a_bad_message_is_malformed_for_a_reason(reason: str, message: str | bytes) -> None:
    assert wire.Malformed(reason) == started().receive(message)


@pytest.mark.parametrize(("reason", "before", "message"), OUT_OF_ORDER)
def test_a_message_out_of_order_is_malformed(reason: str, before: list[str], message: str) -> None:
    stream = wire.Stream()
    for text in before:
        stream.receive(text)
    assert wire.Malformed(reason) == stream.receive(message)


def test_after_every_bad_message_the_stream_goes_on() -> None:
    stream = started()
    for _, message in MALFORMED:
        stream.receive(message)
        assert wire.Media(FRAME, 20, SID) == stream.receive(media())


def test_a_second_start_changes_nothing() -> None:
    stream = started()
    stream.receive(start(streamSid="MZother", callSid="CAother"))
    assert wire.Start(SID, "CA1", {"token": "t"}) == stream.start


REASONS = {reason for reason, _ in MALFORMED} | {reason for reason, _, _ in OUT_OF_ORDER}

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
)
names = st.sampled_from(["event", "media", "mark", "dtmf", "start", "stop", "connected", "streamSid", "payload", "x"])
inner = st.dictionaries(st.sampled_from(["payload", "timestamp", "track", "name", "digit", "streamSid"]), values)
messages = st.fixed_dictionaries(
    {},
    optional={
        "event": st.sampled_from(["media", "mark", "dtmf", "start", "stop", "connected", "else"]) | scalars,
        "streamSid": st.just(SID) | values,
        **dict.fromkeys(("media", "mark", "dtmf", "start", "stop"), inner | values),
    },
)


@given(st.one_of(st.text(), st.binary(), messages.map(json.dumps), st.dictionaries(names, values).map(json.dumps)))
def test_whatever_comes_is_a_message_or_malformed_for_a_known_reason(message: str | bytes) -> None:
    found = started().receive(message)
    assert isinstance(found, wire.Message)
    if isinstance(found, wire.Malformed):
        assert found.reason in REASONS


@given(st.data())
def test_a_good_message_with_a_few_characters_changed_never_raises(data: st.DataObject) -> None:
    text = list(data.draw(st.sampled_from([start(), media(), wire.mark(SID, "1:160")])))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(text) - 1))
        text[place] = data.draw(st.sampled_from(["", '"', "{", "}", "\\", ",", "0", "-", "\ud800", "é", "\x00"]))
    assert isinstance(started().receive("".join(text)), wire.Message)


# --- out


@given(st.binary(min_size=1, max_size=2000))
def test_audio_goes_out_as_twilio_reads_it(ulaw: bytes) -> None:
    message = json.loads(wire.media(SID, ulaw))
    assert {"event", "streamSid", "media"} == set(message)
    assert ("media", SID, ulaw) == (message["event"], message["streamSid"], b64decode(message["media"]["payload"]))


def test_a_mark_and_a_clear_go_out_as_twilio_reads_them() -> None:
    assert {"event": "mark", "streamSid": SID, "mark": {"name": "2:80"}} == json.loads(wire.mark(SID, "2:80"))
    assert {"event": "clear", "streamSid": SID} == json.loads(wire.clear(SID))


@given(st.integers(0, 10**9), st.integers(0, 10**12))
def test_a_mark_names_its_place_in_the_playout(epoch: int, sample: int) -> None:
    assert (epoch, sample) == wire.mark_place(wire.mark_name(epoch, sample))


@pytest.mark.parametrize(
    "name", ["", ":", "1:", ":1", "1", "-1:2", "1:2:3", "a:b", "1:2 ", "١:٢", "9" * 30 + ":" + "9" * 30]
)
def test_a_name_that_we_did_not_give_is_no_place(name: str) -> None:
    assert wire.mark_place(name) is None

"""A call from Twilio, as the service sees it: who is let in, and what the caller hears when something is lost."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest
import websockets

from tests.peers.phone import SID, Phone
from tests.service.world import PUBLIC, STREAM_HEADERS, TOKEN, Service, serving, token_of, until
from voicebot.carriers.base import Audio, Digit, Malformed, Played
from voicebot.core import twilio_signature
from voicebot.core.dialplan import parse
from voicebot.core.timeline import EndReason


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with serving(tmp_path) as running:
        yield running


def phone(service: Service, token: str | None, **more: object) -> Phone:
    return Phone(service.stream, token, headers=STREAM_HEADERS, **more)  # type: ignore[arg-type]


def verbs(answer: httpx.Response) -> list[str]:
    """The TwiML's verbs, with what they say or whom they dial."""
    assert 200 == answer.status_code
    root = ET.fromstring(answer.text)
    assert "Response" == root.tag
    return [" ".join(filter(None, (verb.tag, *verb.itertext(), verb.get("reason")))) for verb in root]


# --- a call


async def listed(service: Service) -> list[tuple[str, str | None]]:
    """The call list, once all its calls have their ends: a stream closes a moment before its row is written."""
    await until(lambda: all(end for _, end in service.rows()))
    return service.rows()


async def test_a_call_is_connected_to_a_stream_and_a_fallback_follows(service: Service) -> None:
    answer = await service.hook("/twilio/voice")
    stream = ET.fromstring(answer.text).find("Connect/Stream")
    assert stream is not None
    assert "wss://bot.example.com/twilio/stream" == stream.get("url")
    assert ["Connect", f"Redirect {PUBLIC}/twilio/after"] == verbs(answer)


async def test_a_call_is_heard_both_ways_and_ends_when_the_caller_hangs_up(service: Service) -> None:
    async with phone(service, await token_of(service)) as caller:
        await caller.audio(5)
        await caller.press("5")
        await caller.hears(0.4)
        await until(lambda: len(service.runtime.got(Played)) == 5)
        await caller.stop()
        await caller.is_left()
    assert [0, 160, 320, 480, 640] == [audio.at for audio in service.runtime.got(Audio)]
    assert [Digit("5")] == service.runtime.got(Digit)
    assert [Played(0, n * 640) for n in range(1, 6)] == service.runtime.got(Played)
    assert [("CA1", "caller_hangup")] == await listed(service)


async def test_the_call_is_known_by_what_the_web_hook_said_not_by_what_the_stream_says(service: Service) -> None:
    async with phone(service, await token_of(service, From="+15557654321")) as caller:
        await caller.hears()
    info = service.runtime.opened[0]
    assert ("twilio", "+15557654321", "+15550002222", "CA1") == (
        info.carrier,
        info.caller,
        info.called,
        info.carrier_call_id,
    )


async def test_malformed_messages_cost_nothing_but_themselves(service: Service) -> None:
    async with phone(service, await token_of(service)) as caller:
        for bad in ("", "{", "[]", '{"event":"media"}', b"\x00", "x" * 100_000):
            await caller.raw(bad)
        await caller.audio(1)
        await caller.stop()
        await caller.is_left()
    assert 6 == len(service.runtime.got(Malformed))
    assert 1 == len(service.runtime.got(Audio))
    assert [("CA1", "caller_hangup")] == await listed(service)


async def test_a_flood_of_malformed_messages_is_closed(service: Service) -> None:
    async with phone(service, await token_of(service)) as caller:
        await caller.floods("{")
        assert 1008 == (await caller.is_left())[0]
    await until(lambda: service.runtime.ended)
    assert [EndReason.MEDIA_LOST] == service.runtime.ended


async def test_a_flood_of_good_messages_is_closed_too(service: Service) -> None:
    async with phone(service, await token_of(service)) as caller:
        mark = {"event": "mark", "streamSid": SID, "mark": {"name": "0:1"}}
        await caller.floods(json.dumps(mark))
        assert 1008 == (await caller.is_left())[0]


async def test_a_phone_that_catches_up_after_a_stall_is_no_flood(service: Service) -> None:
    async with phone(service, await token_of(service)) as caller:
        await caller.audio(1000)
        await caller.stop()
        assert (1000, "call ended") == await caller.is_left()
    assert 1000 == len(service.runtime.got(Audio))


# --- who is refused

PATHS = ("/twilio/voice", "/twilio/after", "/twilio/status")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("url", "token"),
    [(PUBLIC, "another"), (PUBLIC.replace("https", "http"), TOKEN), ("https://evil.example.com", TOKEN), ("", TOKEN)],
    ids=["another account", "http", "another host", "no host"],
)
async def test_a_web_hook_with_a_wrong_signature_is_refused(service: Service, path: str, url: str, token: str) -> None:
    answer = await service.hook(path, url, token)
    assert 403 == answer.status_code
    assert "signature" in answer.text
    assert TOKEN not in answer.text
    assert ([], []) == (service.runtime.opened, service.rows())


@pytest.mark.parametrize("path", PATHS)
async def test_a_web_hook_without_a_signature_is_refused(service: Service, path: str) -> None:
    assert 403 == (await service.web.post(path, data={"CallSid": "CA1"})).status_code


async def test_host_and_forwarded_headers_do_not_choose_what_is_signed(service: Service) -> None:
    evil = "https://evil.example.com/twilio/voice"
    headers = {
        "X-Twilio-Signature": twilio_signature.signature(TOKEN, evil, [("CallSid", "CA1")]),
        "Host": "evil.example.com",
        "X-Forwarded-Host": "evil.example.com",
        "X-Forwarded-Proto": "https",
    }
    assert 403 == (await service.web.post("/twilio/voice", data={"CallSid": "CA1"}, headers=headers)).status_code


@pytest.mark.parametrize("form", [{"Name": "Zoë 💥 & co"}, {"Empty": ""}, {"Body": "a b+c%20d=e"}, {"New": "x" * 5000}])
async def test_whatever_a_signed_form_holds_is_decoded_as_it_was_signed(service: Service, form: dict[str, str]) -> None:
    assert ["Connect", f"Redirect {PUBLIC}/twilio/after"] == verbs(await service.hook("/twilio/voice", **form))


async def test_a_form_that_is_none_is_refused(service: Service) -> None:
    for content in (b"\xff\xfe=\xff", b"&".join(b"a%d=1" % n for n in range(300))):
        assert 400 == (await service.web.post("/twilio/voice", content=content)).status_code


async def test_a_form_that_is_too_long_is_refused(service: Service) -> None:
    assert 413 == (await service.web.post("/twilio/voice", content=b"a=" + b"x" * 70_000)).status_code


async def test_without_an_auth_token_every_route_refuses_and_says_what_to_set(tmp_path: Path) -> None:
    async with serving(tmp_path, twilio_auth_token="") as service:
        for path in PATHS:
            answer = await service.hook(path, token="")
            assert 403 == answer.status_code
            assert "VOICEBOT_TWILIO_AUTH_TOKEN" in answer.text
        empty = {"X-Twilio-Signature": twilio_signature.signature("", "wss://bot.example.com/twilio/stream")}
        with pytest.raises(websockets.InvalidStatus):
            await websockets.connect(service.stream, additional_headers=empty)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Twilio-Signature": ""},
        {"X-Twilio-Signature": "bogus"},
        {"X-Twilio-Signature": twilio_signature.signature("another", "wss://bot.example.com/twilio/stream")},
        {"X-Twilio-Signature": twilio_signature.signature(TOKEN, "wss://bot.example.com/browser/stream")},
        {"X-Twilio-Signature": twilio_signature.signature(TOKEN, "ws://bot.example.com/twilio/stream")},
    ],
    ids=["none", "empty", "bogus", "another account's", "another path's", "without TLS"],
)
async def test_a_stream_with_a_wrong_signature_is_not_upgraded(service: Service, headers: dict[str, str]) -> None:
    token = await token_of(service)
    with pytest.raises(websockets.InvalidStatus) as refused:
        await Phone(service.stream, token, headers=headers).__aenter__()
    assert 403 == refused.value.response.status_code
    assert [] == service.runtime.opened


async def test_a_token_in_the_query_opens_nothing(service: Service) -> None:
    token = await token_of(service)
    with pytest.raises(websockets.InvalidStatus):  # what was signed had no query
        await websockets.connect(f"{service.stream}?token={token}", additional_headers=STREAM_HEADERS)
    signed = twilio_signature.signature(TOKEN, f"wss://bot.example.com/twilio/stream?token={token}")
    headers = {"X-Twilio-Signature": signed}
    async with Phone(f"{service.stream}?token={token}", None, headers=headers) as caller:
        assert (1008, "bad token") == await caller.is_left()
    assert [] == service.runtime.opened


async def no_token(service: Service) -> Phone:
    return phone(service, None)


async def empty_token(service: Service) -> Phone:
    return phone(service, "")


async def made_up_token(service: Service) -> Phone:
    return phone(service, "A" * 22)


async def token_with_a_letter_more(service: Service) -> Phone:
    return phone(service, await token_of(service) + "A")


async def token_in_another_case(service: Service) -> Phone:
    return phone(service, (await token_of(service)).swapcase())


async def token_of_another_call(service: Service) -> Phone:
    return phone(service, await token_of(service, CallSid="CA2"), call_sid="CA1")


async def token_used_before(service: Service) -> Phone:
    token = await token_of(service)
    async with phone(service, token) as first:
        await first.hears()
        await first.stop()
        await first.is_left()
    service.runtime.opened.clear()
    return phone(service, token)


async def token_tried_with_another_call(service: Service) -> Phone:
    token = await token_of(service)
    async with phone(service, token, call_sid="CA2") as first:
        await first.is_left()
    return phone(service, token)


async def token_of_a_dialplan_that_is_gone(service: Service) -> Phone:
    token = await token_of(service)
    service.runtime.dialplans.clear()
    return phone(service, token)


async def token_that_has_expired(service: Service) -> Phone:
    token = await token_of(service)
    service.desk.tokens._clock_s = lambda: 1e12
    return phone(service, token)


@pytest.mark.parametrize(
    "stranger",
    [
        no_token,
        empty_token,
        made_up_token,
        token_with_a_letter_more,
        token_in_another_case,
        token_of_another_call,
        token_used_before,
        token_tried_with_another_call,
        token_of_a_dialplan_that_is_gone,
        token_that_has_expired,
    ],
)
async def test_a_stream_without_its_own_fresh_token_opens_nothing(
    service: Service, stranger: Callable[[Service], Awaitable[Phone]]
) -> None:
    async with await stranger(service) as caller:
        assert (1008, "bad token") == await caller.is_left()
    assert [] == service.runtime.opened


async def test_a_stream_that_never_says_start_is_closed(service: Service) -> None:
    service.desk.start_deadline_s = 0.1
    async with phone(service, None, says_start=False) as caller:
        assert (1008, "no start") == await caller.is_left()


async def test_a_stream_that_says_everything_but_start_is_closed(service: Service) -> None:
    async with phone(service, None, says_start=False) as caller:
        await caller.audio(20)
        assert (1008, "no start") == await caller.is_left()


async def test_a_start_that_comes_late_is_too_late(service: Service) -> None:
    service.desk.start_deadline_s = 0.1
    async with phone(service, await token_of(service), says_start=False) as caller:
        await caller.is_left()
        with pytest.raises(websockets.ConnectionClosed):
            await caller.start()
    assert [] == service.runtime.opened


async def test_a_second_start_and_a_foreign_stream_change_nothing(service: Service) -> None:
    async with phone(service, await token_of(service)) as caller:
        await caller.start(token="another")
        foreign = {"event": "stop", "streamSid": SID[:-1] + "9", "stop": {}}
        await caller.raw(json.dumps(foreign))
        await caller.audio(1)
        await caller.stop()
        await caller.is_left()
    assert ["second_start", "foreign_stream"] == [bad.reason for bad in service.runtime.got(Malformed)]
    assert 1 == len(service.runtime.opened)


async def test_too_many_streams_that_wait_are_refused(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicebot.service.desk.MAX_WAITING", 2)
    async with phone(service, None, says_start=False), phone(service, None, says_start=False):
        await until(lambda: service.desk.waiting == 2)
        async with phone(service, None, says_start=False) as third:
            assert 1013 == (await third.is_left())[0]


async def test_refused_calls_are_listed_with_the_reason(service: Service) -> None:
    assert ["Reject rejected"] == verbs(await service.hook("/twilio/voice", To="+15559999999"))
    service.runtime.state = "draining"
    assert ["Reject busy"] == verbs(await service.hook("/twilio/voice", CallSid="CA2"))
    await until(lambda: 2 == len(service.store.list()))
    found = [(row.carrier_call_id, row.end_reason, row.detail) for row in service.store.list()]
    assert [("CA1", "rejected", "no dialplan takes this call"), ("CA2", "rejected", "draining")] == sorted(found)


async def test_over_the_limit_a_call_is_busy(tmp_path: Path) -> None:
    async with serving(tmp_path, max_calls=1) as service:
        token, late = await token_of(service), await token_of(service, CallSid="CA2")
        async with phone(service, token) as caller:
            await caller.hears()
            assert ["Reject busy"] == verbs(await service.hook("/twilio/voice", CallSid="CA3"))
            async with phone(service, late, call_sid="CA2") as second:
                assert (1013, "busy") == await second.is_left()
        assert 1 == len(service.runtime.opened)
        await until(lambda: service.desk.doors.inside == 0)
        assert "Connect" == verbs(await service.hook("/twilio/voice", CallSid="CA4"))[0]


async def test_a_loop_that_is_behind_takes_no_new_call_and_keeps_those_that_rang(service: Service) -> None:
    token = await token_of(service)
    service.runtime.pulse.overloaded = True
    assert ["Reject busy"] == verbs(await service.hook("/twilio/voice", CallSid="CA2"))
    async with phone(service, token) as caller:
        await caller.hears()
    await until(lambda: "busy" in {row.detail for row in service.store.list()})


async def test_calls_that_were_let_in_and_are_on_their_way_take_up_room(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.runtime.pulse, "full", lambda coming: coming >= 2)
    first, _ = [await token_of(service, CallSid=f"CA{number}") for number in (1, 2)]
    assert ["Reject busy"] == verbs(await service.hook("/twilio/voice", CallSid="CA3"))
    async with phone(service, first) as caller:  # it is up, and the runtime counts it itself
        await caller.hears()
        assert "Connect" == verbs(await service.hook("/twilio/voice", CallSid="CA4"))[0]


async def test_one_caller_has_only_so_many_lines(tmp_path: Path) -> None:
    async with serving(tmp_path, max_calls_per_caller=1) as service, phone(service, await token_of(service)) as caller:
        await caller.hears()
        assert ["Reject busy"] == verbs(await service.hook("/twilio/voice", CallSid="CA2"))
        assert "Connect" == verbs(await service.hook("/twilio/voice", CallSid="CA3", From="+15550009999"))[0]


# --- what comes after the stream


async def test_after_the_bot_hung_up_the_call_ends(service: Service) -> None:
    async with phone(service, await token_of(service)) as caller:
        await caller.press("9")
        await caller.is_left()
    assert ["Hangup"] == verbs(await service.hook("/twilio/after"))
    assert [("CA1", "bot_hangup")] == await listed(service)


async def test_after_a_transfer_the_number_of_the_dialplan_is_dialled_once(service: Service) -> None:
    async with phone(service, await token_of(service)) as caller:
        await caller.press("8")
        await caller.is_left()
    assert ["Dial +12025550142"] == verbs(await service.hook("/twilio/after"))
    assert ["Hangup"] == verbs(await service.hook("/twilio/after"))
    assert [("CA1", "transfer")] == await listed(service)


async def lose(service: Service, token: str) -> None:
    caller = phone(service, token)
    await caller.__aenter__()
    await caller.hears()
    caller.socket.transport.abort()
    await caller._reader
    await until(lambda: not service.runtime.calls)


async def test_after_a_lost_stream_the_caller_is_told_and_connected_once_more(service: Service) -> None:
    await lose(service, await token_of(service))
    again = await service.hook("/twilio/after")
    assert ["Say One moment, please.", "Connect"] == verbs(again)[:2]
    _, _, rest = again.text.partition('name="token" value="')
    await lose(service, rest.partition('"')[0])
    assert ["Dial +12025550142"] == verbs(await service.hook("/twilio/after"))
    assert [("CA1", "media_lost"), ("CA1", "media_lost")] == await listed(service)


async def test_a_stream_that_never_came_is_tried_once_more_and_then_put_through(service: Service) -> None:
    await token_of(service)
    assert "Connect" in verbs(await service.hook("/twilio/after"))
    assert ["Dial +12025550142"] == verbs(await service.hook("/twilio/after"))


async def test_without_people_behind_the_dialplan_the_caller_is_told_to_call_again(service: Service) -> None:
    plan = service.runtime.dialplans["tones"]
    service.runtime.dialplans["tones"] = plan.model_copy(update={"operator": ""})
    await token_of(service)
    await service.hook("/twilio/after")
    assert [f"Say {plan.sentences.trouble}", "Hangup"] == verbs(await service.hook("/twilio/after"))


async def test_a_call_of_a_process_that_died_is_taken_up(service: Service) -> None:
    assert "Connect" in verbs(await service.hook("/twilio/after", CallSid="CAunknown"))


async def test_while_draining_a_lost_call_is_put_through_to_people(service: Service) -> None:
    await lose(service, await token_of(service))
    service.runtime.state = "draining"
    assert ["Dial +12025550142"] == verbs(await service.hook("/twilio/after"))


async def test_a_call_that_breaks_is_closed_and_made_good(service: Service) -> None:
    async with phone(service, await token_of(service)) as caller:
        await caller.press("7")
        await caller.is_left()
    assert 0 == service.desk.doors.inside
    assert "Connect" in verbs(await service.hook("/twilio/after"))


async def test_the_status_of_a_call_that_hangs_ends_it(service: Service) -> None:
    async with phone(service, await token_of(service)) as caller:
        await caller.hears()
        assert 204 == (await service.hook("/twilio/status", CallStatus="completed")).status_code
        await caller.is_left()
    await until(lambda: service.runtime.ended)
    assert [("CA1", "caller_hangup")] == await listed(service)


async def test_a_call_whose_stream_never_came_is_listed_when_it_is_over(service: Service) -> None:
    await token_of(service)
    assert 204 == (await service.hook("/twilio/status", CallStatus="completed")).status_code
    assert 204 == (await service.hook("/twilio/status", CallStatus="completed")).status_code
    assert [("CA1", "rejected", "no stream came")] == [
        (row.carrier_call_id, row.end_reason, row.detail) for row in service.store.list()
    ]


async def test_what_twilio_says_for_us_is_in_the_dialplans_language(service: Service) -> None:
    plan = service.runtime.dialplans["tones"]
    french = plan.sentences.model_copy(update={"one_moment": "Un instant."})
    service.runtime.dialplans["tones"] = plan.model_copy(update={"language": "fr-FR", "sentences": french})
    await lose(service, await token_of(service))
    assert '<Say language="fr-FR">Un instant.</Say>' in (await service.hook("/twilio/after")).text


async def test_the_status_changes_no_end_that_is_known(service: Service) -> None:
    async with phone(service, await token_of(service)) as caller:
        await caller.press("9")
        await caller.is_left()
    assert 204 == (await service.hook("/twilio/status", CallStatus="completed")).status_code
    assert 204 == (await service.hook("/twilio/status", CallStatus="ringing", CallSid="CA9")).status_code
    assert [("CA1", "bot_hangup")] == await listed(service)


async def test_calls_that_are_long_over_are_forgotten(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicebot.service.twilio_routes.REMEMBERED", 3)
    for n in range(5):
        await token_of(service, CallSid=f"CA{n}")
    assert ["Say One moment, please."] == verbs(await service.hook("/twilio/after", CallSid="CA0"))[:1]


async def test_hang_ups_at_any_moment_leave_nothing_behind(service: Service) -> None:
    async def once(n: int) -> None:
        caller = phone(service, await token_of(service, CallSid=f"CA{n}"), call_sid=f"CA{n}", says_start=n % 4 != 0)
        await caller.__aenter__()
        if n % 4 > 1:
            await caller.hears(0.1 * (n % 4))
        if n % 2:
            caller.socket.transport.abort()
        await caller.__aexit__()

    async def left() -> tuple[int, int]:
        await until(lambda: not service.runtime.calls and not service.desk.waiting)
        gc.collect()
        return len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))

    for n in range(8):
        await once(n)
    before = await left()
    for n in range(8, 48):
        await once(n)
    await until(lambda: len(asyncio.all_tasks()) <= before[0])
    tasks, files = await left()
    assert before[0] == tasks
    assert before[1] + 3 >= files  # a pooled connection more or less
    assert (0, 0) == (service.desk.doors.inside, service.desk.metrics.live._value.get())


@pytest.mark.parametrize("status", ["busy", "no-answer", "failed"])
async def test_whom_nobody_takes_is_back_with_the_bot_over_a_new_stream(service: Service, status: str) -> None:
    async with phone(service, await token_of(service)) as caller:
        await caller.press("8")
        await caller.is_left()
    [first] = service.runtime.opened
    after = await service.hook("/twilio/after")
    assert f'action="{PUBLIC}/twilio/dialled"' in after.text
    answer = await service.hook("/twilio/dialled", DialCallStatus=status)
    _, _, rest = answer.text.partition('name="token" value="')
    async with phone(service, rest.partition('"')[0]) as caller:
        await until(lambda: 2 == len(service.runtime.opened))
        again = service.runtime.opened[1]
        assert (first.call_id, "desk") == (again.continues, again.unreached)


async def test_who_was_put_through_is_not_called_back(service: Service) -> None:
    async with phone(service, await token_of(service)) as caller:
        await caller.press("8")
        await caller.is_left()
    await service.hook("/twilio/after")
    assert "<Hangup" in (await service.hook("/twilio/dialled", DialCallStatus="completed")).text
    assert "<Stream" not in (await service.hook("/twilio/dialled", DialCallStatus="busy")).text, "nor a second time"


QUEUE = "name: sales\ntakes: {headers: {X-Queue: sales}}\nstart: a\nnodes: {a: {do: hang_up}}"


async def test_headers_of_a_sip_domain_choose_the_dialplan_and_stay_with_the_call(service: Service) -> None:
    service.runtime.dialplans["sales"] = parse(QUEUE, "sales.yaml")
    headers = {"SipHeader_X-Queue": "sales", "SipHeader_x-Id": "47\n11", "SipHeader_User-to-User": "1", "X-Vip": "1"}
    async with phone(service, await token_of(service, **headers)) as caller:
        await caller.hears()
        caller.socket.transport.abort()  # the stream is lost, and the call is connected again without its headers
    await until(lambda: service.runtime.ended)
    again = await service.hook("/twilio/after")
    async with phone(service, again.text.partition('name="token" value="')[2].partition('"')[0]) as caller:
        await caller.hears()
    assert 2 * [{"x-queue": "sales", "x-id": "47 11"}] == [info.headers for info in service.runtime.opened]
    assert {"sales"} == {row.dialplan for row in service.store.list()}


async def test_a_caller_who_comes_back_from_a_transfer_has_the_headers_still(service: Service) -> None:
    async with phone(service, await token_of(service, **{"SipHeader_X-Id": "4711"})) as caller:
        await caller.press("8")
        await caller.is_left()
    await service.hook("/twilio/after")
    answer = await service.hook("/twilio/dialled", DialCallStatus="busy")
    async with phone(service, answer.text.partition('name="token" value="')[2].partition('"')[0]) as caller:
        await caller.hears()
    assert 2 * [{"x-id": "4711"}] == [info.headers for info in service.runtime.opened]

"""The page's side: calls from the browser, and who may see the list of calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import websockets

from tests.peers.phone import Phone
from tests.service.world import PUBLIC, Service, serving, until
from voicebot.call.recorder import header
from voicebot.carriers.base import CallInfo
from voicebot.core.timeline import EndReason

SECRET = "a console token"
BEARER = {"Authorization": f"Bearer {SECRET}"}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with serving(tmp_path) as running:
        yield running


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Service]:
    async with serving(tmp_path, console_token=SECRET) as running:
        yield running


async def browser_token(service: Service, dialplan: str = "tones", **headers: str) -> str:
    answer = await service.web.post("/browser/call", json={"dialplan": dialplan}, headers=headers)
    assert 200 == answer.status_code
    return str(answer.json()["token"])


# --- a call from the page


async def test_the_page_learns_what_may_be_called(service: Service) -> None:
    found = (await service.web.get("/api/dialplans")).json()
    assert [("tones", "Says a tone."), ("others", "Says a tone.")] == [(p["name"], p["description"]) for p in found]


async def test_a_call_from_the_page_is_heard_both_ways_and_the_page_told_why_it_ended(service: Service) -> None:
    async with Phone(service.browser_stream, await browser_token(service)) as page:
        await page.audio(3)
        await page.hears(0.4)
        await page.press("5")
        assert {"digits": "5", "kind": "digits"}.items() <= (await page.is_told("record"))["record"].items()
        await page.press("9")
        assert {"event": "ended", "reason": "bot_hangup"} == await page.is_told("ended")
        await page.is_left()
    info = service.runtime.opened[0]
    assert ("browser", "127.0.0.1", "tones") == (info.carrier, info.caller, info.called)


async def test_the_page_is_told_of_a_transfer(service: Service) -> None:
    async with Phone(service.browser_stream, await browser_token(service)) as page:
        await page.press("8")
        assert {"event": "transfer", "to": "+12025550142"} == await page.is_told("transfer")
        await page.is_left()
    await until(lambda: service.runtime.ended)
    assert [EndReason.TRANSFER] == service.runtime.ended


async def test_the_page_may_name_no_dialplan_that_is_not_there(service: Service) -> None:
    assert 404 == (await service.web.post("/browser/call", json={"dialplan": "secret"})).status_code


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"dialplan": 7}', b'{"dialplan": null}', b"\xff"])
async def test_a_request_to_call_that_is_malformed_is_refused(service: Service, body: bytes) -> None:
    answer = await service.web.post("/browser/call", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)


async def test_a_stream_of_the_page_without_a_token_of_its_own_opens_nothing(service: Service) -> None:
    used = await browser_token(service)
    async with Phone(service.browser_stream, used) as page:
        await page.hears()
    for token in (None, "", "made-up", used):
        async with Phone(service.browser_stream, token) as page:
            assert (1008, "bad token") == await page.is_left()
    assert 1 == len(service.runtime.opened)


async def test_while_draining_no_call_is_taken(service: Service) -> None:
    token = await browser_token(service)
    service.runtime.state = "draining"
    answer = await service.web.post("/browser/call", json={"dialplan": "tones"})
    assert (503, "10") == (answer.status_code, answer.headers["Retry-After"])
    async with Phone(service.browser_stream, token) as page:
        assert (1013, "draining") == await page.is_left()
    assert [("", "rejected")] == service.rows()


# --- other sites

OTHERS = ["https://evil.example.com", "null", "http://127.0.0.1:1", "https://bot.example.com.evil.com", ""]


@pytest.mark.parametrize("origin", OTHERS)
async def test_another_site_can_neither_ask_nor_call(service: Service, origin: str) -> None:
    headers = {"Origin": origin}
    assert 403 == (await service.web.get("/api/calls", headers=headers)).status_code
    answer = await service.web.post("/browser/call", json={"dialplan": "tones"}, headers=headers)
    assert 403 == answer.status_code
    with pytest.raises(websockets.InvalidStatus) as refused:
        await Phone(service.browser_stream, "token", headers=headers).__aenter__()
    assert 403 == refused.value.response.status_code


async def test_our_own_page_may_ask_by_either_of_its_addresses(service: Service) -> None:
    for origin in (service.base, PUBLIC):
        assert 200 == (await service.web.get("/api/calls", headers={"Origin": origin})).status_code


@pytest.mark.parametrize(
    "host", ["evil.example.com", "bot.example.com", "127.0.0.1.evil.com", "localhost.evil.com", "["]
)
async def test_a_name_made_to_lead_here_opens_nothing(service: Service, host: str) -> None:
    assert (await service.web.get("/api/calls", headers={"Host": host})).status_code in (400, 401)


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Forwarded-Host", "Forwarded", "Via"])
async def test_what_a_proxy_passes_on_is_not_from_this_machine(service: Service, header: str) -> None:
    assert 401 == (await service.web.get("/api/calls", headers={header: "127.0.0.1"})).status_code


# --- the console token

GUARDED = [
    ("GET", "/api/dialplans"), ("GET", "/api/calls"), ("GET", "/api/calls/x"), ("GET", "/api/calls/x/timeline"),
    ("GET", "/api/calls/x/audio"), ("POST", "/api/calls/x/link"), ("POST", "/browser/call"), ("GET", "/metrics"),
]  # fmt: skip


STRANGERS = [None, "", "Bearer", f"Bearer {SECRET}x", f"Bearer {SECRET[:-1]}", f"Basic {SECRET}", SECRET, "Bearer é"]


@pytest.mark.parametrize("authorization", STRANGERS)
async def test_without_the_token_nothing_is_shown(guarded: Service, authorization: str | None) -> None:
    headers: Any = {} if authorization is None else {b"Authorization": authorization.encode("latin-1")}
    for method, path in GUARDED:
        answer = await guarded.web.request(method, path, json={}, headers=headers)
        assert (path, 401, "Bearer") == (path, answer.status_code, answer.headers["WWW-Authenticate"])
        assert SECRET not in answer.text


async def test_with_the_token_it_is(guarded: Service) -> None:
    assert 200 == (await guarded.web.get("/api/calls", headers=BEARER)).status_code
    assert 200 == (await guarded.web.get("/metrics", headers=BEARER)).status_code
    proxied = BEARER | {"Host": "bot.example.com", "X-Forwarded-For": "203.0.113.9"}
    assert 200 == (await guarded.web.get("/api/calls", headers=proxied)).status_code
    token = await browser_token(guarded, **BEARER)
    async with Phone(guarded.browser_stream, token) as page:
        await page.hears(0.4)


# --- the list of calls


async def recorded(service: Service, tmp_path: Path) -> str:
    folder = tmp_path / "calls" / "call-1"
    folder.mkdir(parents=True)
    (folder / "audio.wav").write_bytes(header(320) + bytes(320))
    (folder / "timeline.jsonl").write_bytes(
        b'{"ms":900,"kind":"turn","turn":2,"text":"a latte","start_ms":100,"end_ms":600}\n'
        b'{"ms":1000,"kind":"heard_from","turn":2}\n{"ms":10'
    )
    info = CallInfo("call-1", "twilio", "+15550001111", "+15550002222", "CA1")
    await service.store.started(info, "tones", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), str(folder))
    await service.store.ended("call-1", EndReason.BOT_HANGUP, 12.5, 3)
    return "call-1"


async def test_calls_are_listed_and_shown(service: Service, tmp_path: Path) -> None:
    call_id = await recorded(service, tmp_path)
    [row] = (await service.web.get("/api/calls")).json()
    assert {
        "id": call_id, "carrier": "twilio", "caller": "+15550001111", "called": "+15550002222", "dialplan": "tones",
        "started_at": "2026-01-02T03:04:05+00:00", "seconds": 12.5, "turns": 3, "end_reason": "bot_hangup",
        "detail": "", "responder": "",
    } == row  # fmt: skip
    shown: dict[str, Any] = (await service.web.get(f"/api/calls/{call_id}")).json()
    assert [{"turn": 2, "voice_to_voice_ms": 400, "endpoint_ms": 300}] == shown["latencies"]
    timeline = (await service.web.get(f"/api/calls/{call_id}/timeline")).json()
    assert [("turn", 900), ("heard_from", 1000)] == [(record["kind"], record["ms"]) for record in timeline]


async def test_the_list_takes_a_limit_and_bounds_it(service: Service, tmp_path: Path) -> None:
    await recorded(service, tmp_path)
    for limit in (-1, 0, 1, 10**9):
        assert 1 == len((await service.web.get("/api/calls", params={"limit": limit})).json())


async def test_a_recording_is_served_by_a_link_that_needs_no_token(guarded: Service, tmp_path: Path) -> None:
    call_id = await recorded(guarded, tmp_path)
    link = (await guarded.web.post(f"/api/calls/{call_id}/link", headers=BEARER)).json()["url"]
    assert SECRET not in link
    answer = await guarded.web.get(link)
    assert (200, "audio/wav", 364) == (answer.status_code, answer.headers["Content-Type"], len(answer.content))
    part = await guarded.web.get(link, headers={"Range": "bytes=0-43"})
    assert (206, header(320)) == (part.status_code, part.content)


async def test_a_link_opens_its_own_recording_only_and_not_for_ever(guarded: Service, tmp_path: Path) -> None:
    call_id = await recorded(guarded, tmp_path)
    link = (await guarded.web.post(f"/api/calls/{call_id}/link", headers=BEARER)).json()["url"]
    assert 401 == (await guarded.web.get(link.replace("call-1", "call-2"))).status_code
    assert 401 == (await guarded.web.get(link[:-1])).status_code
    guarded.desk.links._clock_s = lambda: 1e12
    assert 401 == (await guarded.web.get(link)).status_code


@pytest.mark.parametrize("call_id", ["none", "..", "%2e%2e%2f%2e%2e", "call-1%00", "x" * 3000, "%25"])
async def test_a_call_that_is_not_there_is_not_found(service: Service, call_id: str) -> None:
    for rest in ("", "/timeline", "/audio"):
        assert 404 == (await service.web.get(f"/api/calls/{call_id}{rest}")).status_code


async def test_a_call_without_a_recording_says_so(service: Service) -> None:
    await service.store.rejected(CallInfo("call-2", "twilio", "", ""), "", "busy")
    assert 404 == (await service.web.get("/api/calls/call-2/audio")).status_code
    assert [] == (await service.web.get("/api/calls/call-2/timeline")).json()


# --- health, figures, headers


async def test_alive_and_ready_are_two_questions(service: Service) -> None:
    assert ("alive", "ready") == (
        (await service.web.get("/healthz")).json()["status"],
        (await service.web.get("/readyz")).json()["status"],
    )
    service.runtime.state = "draining"
    assert 200 == (await service.web.get("/healthz")).status_code
    answer = await service.web.get("/readyz")
    assert (503, "draining") == (answer.status_code, answer.json()["status"])


async def test_the_figures_count_calls_and_refusals_and_name_nobody(service: Service) -> None:
    async with Phone(service.browser_stream, await browser_token(service)) as page:
        await page.hears()
        assert "voicebot_calls_live 1.0" in (await service.web.get("/metrics")).text
        await page.stop()
        await page.is_left()
    await service.hook("/twilio/voice", token="wrong")
    await until(lambda: service.runtime.ended)
    figures = (await service.web.get("/metrics")).text
    for line in (
        "voicebot_calls_live 0.0",
        'voicebot_calls_total{carrier="browser",reason="caller_hangup"} 1.0',
        'voicebot_calls_refused_total{carrier="twilio",why="bad signature"} 1.0',
        "voicebot_event_loop_lag_seconds",
        "voicebot_voice_to_voice_seconds_bucket",
    ):
        assert line in figures
    assert "+1555" not in figures
    assert "127.0.0.1" not in figures


@pytest.mark.parametrize("path", ["/", "/healthz", "/api/calls", "/nowhere", "/static/nothing.js"])
async def test_every_answer_carries_the_security_headers(service: Service, path: str) -> None:
    headers = (await service.web.get(path)).headers
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert "nosniff" == headers["X-Content-Type-Options"]
    assert "no-referrer" == headers["Referrer-Policy"]


async def test_a_request_that_is_too_long_is_refused_announced_or_not(service: Service) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 10_000

    for content in (b" " * 70_000, endless()):
        answer = await service.web.post("/browser/call", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 413)
    assert [] == service.runtime.opened


async def test_there_is_no_page_about_the_interface(service: Service) -> None:
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert 404 == (await service.web.get(path)).status_code


async def test_no_answer_holds_a_secret(guarded: Service) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/api/dialplans", "/api/calls"):
        text = (await guarded.web.get(path, headers=BEARER)).text
        assert "an auth token" not in text
        assert SECRET not in text

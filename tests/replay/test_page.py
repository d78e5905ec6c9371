"""The report and the suite page, as files; labels kept by the little server."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile

from tests.e2e import chromium as browser
from tests.replay.made_calls import call
from voicebot.core.timeline import Record, decode
from voicebot.errors import UsageError
from voicebot.replay import page, review, verdict
from voicebot.replay.recording import CallAudio
from voicebot.replay.scoring import score
from voicebot.replay.verdict import Compared, Suite, SuiteCall

EVIL = "</script><script>alert(1)</script><!--"
RECORDS = (
    Record(0, "call_started", {"dialplan": EVIL, "engines": {"asr": "pocketsphinx"}}),
    Record(4300, "turn", {"turn": 1, "text": EVIL, "start_ms": 3000, "end_ms": 4000, "confidence": 1.0}),
    Record(4310, "reply_started", {"turn": 1}),
    Record(4800, "heard_from", {"turn": 1}),
    Record(9000, "said", {"turn": 1, "text": "one two three four", "heard": "one two", "complete": False}),
)


def made() -> CallAudio:
    return call([(3000, 4000), (8700, 10_000)], [(500, 2000), (4800, 9000), (16_000, 17_000)], records=RECORDS)


def embedded(text: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert found
    data: dict[str, object] = json.loads(found[1])
    return data


def test_the_report_is_one_file_with_its_sound_and_asks_for_nothing(tmp_path: Path) -> None:
    judged = score(made())
    page.write_report(judged, made(), tmp_path)
    text = (tmp_path / "report.html").read_text()
    assert not re.search(r'(src|href)="(?!#)', text)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    data = embedded(text)
    kind, _, sound = str(data["audio"]).partition(";base64,")
    samples, rate = soundfile.read(BytesIO(b64decode(sound)), dtype="int16")
    assert ("data:audio/flac", 8000) == (kind, rate)
    assert np.array_equal(made().caller, samples[:, 0])
    assert judged == verdict.read(json.dumps(data["verdict"]).encode())


def test_what_a_caller_says_cannot_end_the_script(tmp_path: Path) -> None:
    page.write_report(score(made()), made(), tmp_path)
    assert 2 == (tmp_path / "report.html").read_text().count("</script>")


def test_the_json_and_the_timeline_say_the_same(tmp_path: Path) -> None:
    judged = score(made())
    page.write_report(judged, made(), tmp_path)
    assert judged == verdict.read((tmp_path / "report.json").read_bytes())
    records = list(decode((tmp_path / "timeline.jsonl").read_bytes().splitlines()))
    assert len(judged.turns) == sum(record.kind == "speech" for record in records)
    assert sorted(record.ms for record in records) == [record.ms for record in records]


def test_a_calls_own_timeline_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "audio.wav").write_bytes(b"RIFF")
    (tmp_path / "timeline.jsonl").write_bytes(b"mine\n")
    page.write_report(score(made()), made(), tmp_path)
    assert b"mine\n" == (tmp_path / "timeline.jsonl").read_bytes()


def test_where_it_cannot_be_written_one_sentence_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        page.write_report(score(made()), made(), tmp_path / "file" / "report")


def suite() -> Suite:
    judged = score(made())
    slower = Compared("response_gap_p95", 500.0, 800.0, 300.0, "worse", "300 ms slower")
    return Suite(
        "a week",
        "rehear",
        (
            SuiteCall(
                "good", "good", "pass", 9000, metrics=judged.metrics, compared=(replace(slower, outcome="same"),)
            ),
            SuiteCall(EVIL, "bad call", "worse", 9000, metrics=judged.metrics, compared=(slower,)),
            SuiteCall("gone", "", "failed", note="gone.wav is empty."),
        ),
    )


# --- labels ----------------------------------------------------------------------------------------------------


def client(folder: Path, host: str = "127.0.0.1") -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(review.app(folder)), base_url=f"http://{host}")


LABEL = {"call": "made", "handled": "badly", "tag": "too slow", "note": "nine seconds", "at_ms": 7000}


async def test_a_note_is_kept_as_a_label_beside_the_report(tmp_path: Path) -> None:
    page.write_report(score(made()), made(), tmp_path)
    async with client(tmp_path) as web:
        shown = await web.get("/report.html")
        token = str(embedded(shown.text)["token"])
        answer = await web.post("/labels", json=LABEL, headers={"X-Token": token})
        assert 200 == answer.status_code
        [kept] = page.labels(tmp_path)
        assert LABEL == {name: value for name, value in kept.items() if name != "saved_at"}
        assert [kept] == embedded((await web.get("/report.html")).text)["labels"]


async def test_reports_of_a_suites_calls_are_shown_and_labelled_too(tmp_path: Path) -> None:
    page.write_suite(suite(), tmp_path)
    page.write_report(score(made()), made(), tmp_path / "bad call")
    async with client(tmp_path) as web:
        assert "/suite.html" == (await web.get("/")).headers["location"]
        token = str(embedded((await web.get("/bad%20call/report.html")).text)["token"])
        assert 200 == (await web.post("/bad%20call/labels", json=LABEL, headers={"X-Token": token})).status_code
    assert 1 == len(page.labels(tmp_path / "bad call"))


@pytest.mark.parametrize(
    ("code", "path", "body", "token"),
    [
        (403, "/labels", json.dumps(LABEL), "guess"),
        (404, "/elsewhere/labels", json.dumps(LABEL), None),
        (404, "/%2e%2e/labels", json.dumps(LABEL), None),
        (404, "/report.json", json.dumps(LABEL), None),
        (422, "/labels", json.dumps(LABEL | {"handled": "so so"}), None),
        (422, "/labels", json.dumps(LABEL | {"more": 1}), None),
        (422, "/labels", "[]", None),
        (413, "/labels", "x" * 20_000, None),
    ],
)
async def test_what_is_no_label_is_not_kept(code: int, path: str, body: str, token: str | None, tmp_path: Path) -> None:
    page.write_report(score(made()), made(), tmp_path)
    async with client(tmp_path) as web:
        true = str(embedded((await web.get("/report.html")).text)["token"])
        answer = await web.post(path, content=body, headers={"X-Token": token or true})
    assert code == answer.status_code
    assert [] == page.labels(tmp_path)


async def test_only_reports_are_shown_and_only_to_this_machines_names(tmp_path: Path) -> None:
    page.write_report(score(made()), made(), tmp_path / "report")
    (tmp_path / "secret.txt").write_text("no")
    (tmp_path / "report" / "audio.wav").write_text("no")
    async with client(tmp_path / "report") as web:
        for path in ("/secret.txt", "/../secret.txt", "/audio.wav", "/%2e%2e/secret.txt", "/nothing/report.html"):
            assert 404 == (await web.get(path)).status_code
    async with client(tmp_path / "report", "evil.example") as stranger:
        assert 400 == (await stranger.get("/report.html")).status_code


def test_a_folder_without_a_report_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="voicebot replay score"):
        review.app(tmp_path)


# --- in a browser ----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(browser.installed() is None, reason="there is no Chromium on this machine")
@pytest.mark.parametrize("width", [1280, 390])
async def test_the_report_works_in_a_browser(width: int, tmp_path: Path) -> None:
    page.write_report(score(made()), made(), tmp_path)
    async with browser.chromium(str(browser.installed()), tmp_path) as tab:
        await tab.resize(width, 900)
        await tab.open((tmp_path / "report.html").as_uri())
        assert await tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert EVIL in await tab.evaluate("document.getElementById('transcript').textContent")
        assert "three four" == await tab.evaluate("document.querySelector('.unheard').textContent")
        await tab.click("#worst button")
        await tab.until("!audio.paused && audio.currentTime > 1", 10)
        await tab.evaluate("audio.pause(); seek(5000)")
        assert "0:05.0 / 0:20.0" == await tab.evaluate("document.getElementById('clock').textContent")
        assert await tab.evaluate(f"({DRAWN})('timeline') && ({DRAWN})('overview')")
    assert [] == tab.faults


DRAWN = """id => { const c = document.getElementById(id);
  return c.getContext("2d").getImageData(0, 0, c.width, c.height).data.some(value => value) }"""


@pytest.mark.slow
@pytest.mark.skipif(browser.installed() is None, reason="there is no Chromium on this machine")
async def test_the_suite_names_what_got_worse_in_a_browser(tmp_path: Path) -> None:
    page.write_suite(suite(), tmp_path)
    async with browser.chromium(str(browser.installed()), tmp_path) as tab:
        await tab.open((tmp_path / "suite.html").as_uri())
        told = await tab.evaluate("document.getElementById('verdict-title').textContent")
        assert "Worse: Response gap, 95th percentile (1)" == told
        rows = await tab.evaluate("[...document.querySelectorAll('#calls tbody th')].map(e => e.textContent)")
        assert ["gone", EVIL, "good"] == rows
    assert [] == tab.faults

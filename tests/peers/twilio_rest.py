"""Twilio's REST API, as much of it as the service uses: calls to change, numbers to point somewhere. On loopback."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import requests.auth

ACCOUNT = "AC" + "0" * 32
TOKEN = "an auth token"


@dataclass
class TwilioRest:
    """What it was asked for, and how it shall answer."""

    url: str = ""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """(CallSid, form) of every change to a call."""
    numbers: dict[str, dict[str, str]] = field(default_factory=dict)
    """Number → its URLs, as `voice_url`, `voice_fallback_url`, `status_callback`."""
    fails: tuple[int, int] | None = None
    """(HTTP status, Twilio's code) of every answer."""
    delay_s: float = 0.0
    over: set[str] = field(default_factory=set)
    """Calls that are no more."""

    def answer(self, method: str, path: str, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        time.sleep(self.delay_s)
        if self.fails:
            return self.fails[0], _error(*self.fails)
        parts = path.removesuffix(".json").strip("/").split("/")
        match parts:
            case ["2010-04-01", "Accounts", account, *_] if account != ACCOUNT:
                return 404, _error(404, 20404)
            case [_, _, _, "Calls"]:
                self.asked.append(("new", form))
                return 201, {"sid": "CAnew", "status": "queued"}
            case [_, _, _, "Calls", sid]:
                self.asked.append((sid, form))
                if sid in self.over:
                    return 404, _error(404, 20404)
                return 200, {"sid": sid, "status": form.get("Status", "in-progress")}
            case [_, _, _, "IncomingPhoneNumbers"]:
                wanted = form.get("PhoneNumber", "")
                found = [self._number(each) for each in self.numbers if wanted in ("", each)]
                return 200, {"incoming_phone_numbers": found, "page": 0, "page_size": 50}
            case [_, _, _, "IncomingPhoneNumbers", sid] if method == "POST":
                number = "+" + sid.removeprefix("PN")
                snake = {"VoiceUrl": "voice_url", "VoiceFallbackUrl": "voice_fallback_url",
                         "StatusCallback": "status_callback"}  # fmt: skip
                self.numbers[number] |= {snake[k]: v for k, v in form.items() if k in snake}
                return 200, self._number(number)
            case _:
                return 404, _error(404, 20404)

    def _number(self, number: str) -> dict[str, str]:
        return {"sid": "PN" + number.removeprefix("+"), "account_sid": ACCOUNT, "phone_number": number} | self.numbers[
            number
        ]


def _error(status: int, code: int) -> dict[str, Any]:
    return {"code": code, "message": f"as the test asked: {code}", "status": status}


@contextmanager
def twilio_rest() -> Iterator[TwilioRest]:
    """It answers at `url` until the end of the block."""
    rest = TwilioRest()

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            form = dict(parse_qsl(self.rfile.read(length).decode(), keep_blank_values=True))
            self._answer("POST", form)

        def do_GET(self) -> None:
            self._answer("GET", dict(parse_qsl(urlsplit(self.path).query)))

        def _answer(self, method: str, form: dict[str, str]) -> None:
            if self.headers.get("Authorization") != requests.auth._basic_auth_str(ACCOUNT, TOKEN):
                status, body = 401, _error(401, 20003)
            else:
                status, body = rest.answer(method, unquote(urlsplit(self.path).path), form)
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            try:
                self.wfile.write(text)
            except OSError:  # whoever asked did not wait
                pass

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    rest.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield rest
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

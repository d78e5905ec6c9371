"""What LLaMA-Omni's and LLaMA-Omni2's workers are asked, and what they answer (FastChat's protocol, as in their
repositories of 2025).

An answer is JSON objects with a zero byte behind each; every one repeats the whole text and all units so far. The units
are those of a codec (50 a second in the first version, 25 in the second), which somebody else makes audible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

STOP = "<|eot_id|>"
"""Llama 3's end of a message."""
SYSTEM = (
    "You are a helpful language and speech assistant. You are able to understand the speech content that the user "
    "provides, and assist the user with a variety of tasks using natural language."
)
"""What the first version was trained with; instructions go behind it."""
QUESTION = "<speech>\nPlease directly answer the questions in the user's speech."
MOST_BYTES = 1 << 20
"""Of one object: minutes of units."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the worker is to choose its words."""

    temperature: float = 0.0
    top_p: float = 0.7
    max_new_tokens: int = 512


@dataclass(frozen=True, slots=True)
class Exchange:
    """One turn of the call so far."""

    path: str
    """Where the worker finds what the caller said."""
    answer: str
    """Of which the caller heard this."""


def prompt(instructions: str) -> str:
    """Llama 3's template with a place for the caller's speech, up to where the answer begins."""
    system = f"{SYSTEM}\n{instructions}".strip()
    return "<|begin_of_text|>" + _message("system", system) + _message("user", QUESTION) + _header("assistant")


def _header(role: str) -> str:
    return f"<|start_header_id|>{role}<|end_header_id|>\n\n"


def _message(role: str, text: str) -> str:
    return _header(role) + text + STOP


def first_request(model: str, asked: str, samples: Any, how: Sampling) -> dict[str, Any]:
    """To a worker of LLaMA-Omni; `samples` at 16 kHz in -1..1, a list or what becomes one."""
    return {
        "model": model,
        "prompt": asked,
        "temperature": how.temperature,
        "top_p": how.top_p,
        "max_new_tokens": how.max_new_tokens,
        "stop": STOP,
        "audio": samples,
    }


def second_request(model: str, past: Sequence[Exchange], path: str, how: Sampling) -> dict[str, Any]:
    """To a worker of LLaMA-Omni2, which opens the paths itself: files, or addresses."""
    history: list[dict[str, Any]] = []
    for exchange in past:
        history.append({"role": "user", "content": {"path": exchange.path}})
        if exchange.answer:
            history.append({"role": "assistant", "content": exchange.answer})
    history.append({"role": "user", "content": {"path": path}})
    return {
        "model": model,
        "history": history,
        "temperature": how.temperature,
        "top_p": how.top_p,
        "max_new_tokens": how.max_new_tokens,
    }


@dataclass(frozen=True, slots=True)
class Piece:
    """What is new in an object of the answer."""

    text: str
    units: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """The worker, or the controller in its name, gave up."""

    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """An object that is none; the next one repeats what was in it."""

    reason: str


class Answer:
    """Bytes in as they come, what is new out."""

    def __init__(self, asked: str = "") -> None:
        self._prefix = asked
        """The first version repeats the prompt before its answer."""
        self._rest = b""
        self.text = ""
        self.units = 0

    def push(self, data: bytes) -> list[Piece | Refused | Malformed]:
        """The objects that are whole now."""
        *whole, self._rest = (self._rest + data).split(b"\0")
        found: list[Piece | Refused | Malformed] = [self._read(each) for each in whole if each]
        if len(self._rest) > MOST_BYTES:
            self._rest = b""
            found.append(Malformed("an object without end"))
        return found

    def _read(self, data: bytes) -> Piece | Refused | Malformed:
        try:
            said = orjson.loads(data)
            code, text = int(said["error_code"]), str(said["text"])
            units = tuple(map(int, str(said.get("unit") or "").split()))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            return Malformed(type(error).__name__)
        if code:
            return Refused(code, text)
        text = text.removeprefix(self._prefix)
        new = text[len(self.text) :] if text.startswith(self.text) else ""
        self.text += new
        fresh = units[self.units :]
        self.units += len(fresh)
        return Piece(new, fresh)


def heard_of(text: str, heard_ms: int, spoken_ms: int) -> str:
    """How much of a text was heard when so much of its audio was: in proportion, whole words only."""
    if heard_ms >= spoken_ms:
        return text
    part = text[: len(text) * heard_ms // max(1, spoken_ms)]
    return part[: part.rfind(" ") + 1].rstrip()

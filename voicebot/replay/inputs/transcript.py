"""Reference transcripts: plain text, WebVTT, NIST's STM, and the JSON of whoever wrote one.

Who speaks is read from a voice tag, a channel, or a name before a colon: caller, customer and user are the caller;
bot, agent and assistant the bot. Names that are neither are people in order: who is named first answered the call.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from voicebot.errors import UsageError
from voicebot.replay.inputs.limits import MAX_TEXT_BYTES
from voicebot.replay.recording import Said
from voicebot.replay.verdict import Side

KINDS = (".txt", ".vtt", ".stm", ".json")
NAMES: dict[str, Side] = {
    **dict.fromkeys(("caller", "customer", "user", "client", "human", "callee", "patient"), "caller"),
    **dict.fromkeys(("bot", "agent", "assistant", "system", "ai", "operator", "voicebot"), "bot"),
}
_NAMED = re.compile(r"\s*([A-Za-z][\w ]{0,24}?)\s*:\s+(.+)", re.S)
_CUE = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{2})[.,](\d{3})\s*-->\s*(?:(\d+):)?(\d{1,2}):(\d{2})[.,](\d{3})")
_VOICE = re.compile(r"<v(?:\.[\w.]+)?\s+([^>]+)>")
_LISTS = ("segments", "utterances", "turns", "results", "transcript", "messages", "words")
_TEXTS, _SPEAKERS = (
    ("text", "content", "transcript", "utterance", "word"),
    ("speaker", "role", "side", "channel", "participant"),
)


def read(path: Path) -> tuple[Said, ...]:
    """What was truly said, in order. `UsageError` in one sentence when it is no transcript."""
    try:
        if path.stat().st_size > MAX_TEXT_BYTES:
            raise UsageError(f"{path.name} is too long for a transcript.")
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path} cannot be opened: {(error.strerror or str(error)).lower()}.") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path.name} is no transcript: it is not UTF-8.") from None
    match path.suffix.lower():
        case ".vtt":
            found = list(_vtt(text))
        case ".stm":
            found = list(_stm(text))
        case ".json":
            found = list(_json(text, path.name))
        case _:
            found = list(_plain(text))
    if not found:
        raise UsageError(f"{path.name} has no words in it.")
    return tuple(_sided(found))


def beside(recording: Path) -> Path | None:
    """The transcript of the same name, if there is one."""
    return next((file for kind in KINDS if (file := recording.with_suffix(kind)).is_file()), None)


_Line = tuple[str, str, int | None, int | None]
"""Who (as written), what, from and to in ms."""


def _plain(text: str) -> Iterator[_Line]:
    for line in filter(None, map(str.strip, text.splitlines())):
        named = _NAMED.fullmatch(line)
        yield (named[1], named[2], None, None) if named else ("", line, None, None)


def _vtt(text: str) -> Iterator[_Line]:
    for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n")):
        cue = _CUE.search(block)
        if cue is None:
            continue
        said = block[cue.end() :].partition("\n")[2]
        voice = _VOICE.search(said)
        said = re.sub(r"<[^>]*>", "", said).replace("\n", " ").strip()
        named = None if voice else _NAMED.fullmatch(said)
        who, said = (named[1], named[2]) if named else (voice[1] if voice else "", said)
        if said:
            yield who, said, _ms(cue.groups()[:4]), _ms(cue.groups()[4:])


def _ms(parts: Iterable[str | None]) -> int:
    hours, minutes, seconds, ms = (int(part or 0) for part in parts)
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + ms


def _stm(text: str) -> Iterator[_Line]:
    """`file channel speaker from to [<labels>] words` (NIST sclite)."""
    for line in text.splitlines():
        parts = line.split(None, 5)
        if len(parts) < 6 or line.startswith(";;"):
            continue
        said = re.sub(r"^<[^>]*>\s*", "", parts[5]).strip()
        try:
            start_ms, end_ms = (round(float(each) * 1000) for each in parts[3:5])
        except ValueError:
            continue
        if said and said.lower() != "ignore_time_segment_in_scoring":
            yield parts[2], said, start_ms, end_ms


def _json(text: str, name: str) -> Iterator[_Line]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"{name} is no transcript: it is not JSON ({error}).") from None
    while isinstance(found, dict):
        inner = next((found[key] for key in _LISTS if isinstance(found.get(key), list)), None)
        if inner is None:
            inner = next((value for value in found.values() if isinstance(value, dict)), None)
        if inner is None:
            inner = [found]
        found = inner
    for each in found if isinstance(found, list) else ():
        if isinstance(each, dict) and (
            said := next((each[key] for key in _TEXTS if isinstance(each.get(key), str)), "")
        ):
            who = next((str(each[key]) for key in _SPEAKERS if each.get(key) is not None), "")
            yield who, said, _time(each, "start"), _time(each, "end")


def _time(each: dict[str, Any], name: str) -> int | None:
    """Milliseconds where the name says so, else seconds."""
    for key, factor in ((f"{name}_ms", 1), (name, 1000), (f"{name}_time", 1000), (f"{name}Time", 1000)):
        if isinstance(value := each.get(key), int | float):
            return round(value * factor)
    return None


def _sided(lines: list[_Line]) -> Iterator[Said]:
    known: dict[str, Side | None] = {"": None}
    strangers: list[str] = []
    for who, *_ in lines:
        key = who.lower().strip()
        if key not in known:
            side = next((NAMES[word] for word in re.findall(r"[a-z]+", key) if word in NAMES), None)
            known[key] = side
            if side is None:
                strangers.append(key)
    taken = set(known.values())
    if len(strangers) <= 2 and not (taken & {"caller", "bot"}):
        order: tuple[Side, ...] = ("bot", "caller")
        known |= dict(zip(strangers, order, strict=False))
    for who, said, start_ms, end_ms in lines:
        yield Said(said, known[who.lower().strip()], start_ms, end_ms)

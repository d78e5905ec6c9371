"""What goes wrong with Gemini, Moshi and LLaMA-Omni, each in a whole call in real time: no dead air, a record that is
complete, and the cascade where the engine cannot go on."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from tests.call.guarded_world import longest_silence_ms
from tests.call.responders import (
    CALLER,
    KEYS,
    LONG,
    PRESS,
    Outcome,
    Responder,
    carry,
    gemini,
    gemini_talk,
    llama_omni,
    moshi,
)
from tests.peers.gemini_live import Answer
from tests.peers.llama_omni import Says
from voicebot.core.timeline import EndReason, decode

pytestmark = pytest.mark.slow
DEAD_AIR_MS = 8000
DEADLINE = (1011, "Deadline expired before operation could complete.")


def turn(answer: Answer) -> list[Answer]:
    """The talk with Gemini, with this in place of the first answer."""
    talk = gemini_talk()
    return [talk[0], answer, *talk[2:]]


GOES_ON: dict[str, Responder] = {
    "gemini_live: it goes, and is resumed": partial(gemini, go_away=(2, "3s")),
    "gemini_live: it goes, and cannot be resumed": partial(gemini, go_away=(2, "3s"), resumable=False),
    "gemini_live: it goes, and the resumption is refused": partial(
        gemini, go_away=(2, "3s"), refuses_resumed=(1007, "Request contains an invalid argument.")
    ),
    "gemini_live: its time is over when the caller has spoken": partial(gemini, drops="turn", drop_code=DEADLINE),
    "gemini_live: it breaks while the caller speaks": partial(gemini, drops="speech", drop_code=(1006, "")),
    "gemini_live: audio after an interruption": partial(gemini, stale=True),
    "gemini_live: messages of the future": partial(gemini, odd=['{"fromTheFuture": {}}', b"{no json", "[]"]),
    "moshi: audio that is no Opus": partial(moshi, fault="garbage", fault_at=60),
    "moshi: messages of all kinds": partial(moshi, extra=[b"\x06", b"\x03\x00", b"\x04{", b"\x2a?", b""]),
    "llama_omni: an object that is none": partial(llama_omni, talk=[Says(LONG, 270, fault="garbage"), Says(PRESS, 90)]),
}
"""What costs no engine."""
HANDED_OVER: dict[str, Responder] = {
    "gemini_live: refused": partial(gemini, refuses=(1008, "API key not valid.")),
    "gemini_live: no answer to the setup": partial(gemini, mute=True),
    "gemini_live: breaks in a reply": partial(gemini, drops="reply"),
    "gemini_live: is dropped in a reply": partial(gemini, drops="reply", drop_code=(1006, "")),
    "gemini_live: never answers": partial(gemini, talk=turn(Answer(never=True))),
    "gemini_live: gives it up": partial(gemini, talk=turn(Answer(reason="PROHIBITED_INPUT_CONTENT"))),
    "gemini_live: says nothing": partial(gemini, talk=turn(Answer(text=""))),
    "moshi: busy": partial(moshi, handshake=None),
    "moshi: falls silent": partial(moshi, fault="silent", fault_at=60),
    "moshi: too slow": partial(moshi, fault="slow", fault_at=60),
    "moshi: an error": partial(moshi, fault="error", fault_at=60),
    "moshi: closes": partial(moshi, fault="drop", fault_at=60),
    "moshi: is dropped": partial(moshi, fault="drop", fault_at=60, close_code=1006),
    "llama_omni: a status": partial(llama_omni, talk=[Says(LONG, 270, fault="500")]),
    "llama_omni: silent": partial(llama_omni, talk=[Says(LONG, 270, fault="silent")]),
    "llama_omni: no units": partial(llama_omni, talk=[Says(LONG, 270, fault="mute")]),
    "llama_omni: no worker": partial(llama_omni, worker=""),
    "llama_omni: no vocoder": partial(llama_omni, vocoder_fails=True),
}
BROKEN_OFF: dict[str, Responder] = {
    "llama_omni: an error": partial(llama_omni, talk=[Says(LONG, 270, fault="error"), Says(PRESS, 90)]),
    "llama_omni: stalls": partial(llama_omni, talk=[Says(LONG, 270, fault="stalls"), Says(PRESS, 90)]),
    "llama_omni: breaks off": partial(llama_omni, talk=[Says(LONG, 270, fault="breaks"), Says(PRESS, 90)]),
}
"""Half of an answer was heard, and the session lives: the caller goes on with it."""


def call(folder: Path, name: str, responder: Responder) -> Outcome:
    caller = CALLER if name.startswith("gemini") else KEYS
    done = asyncio.run(asyncio.wait_for(carry(folder, responder, "ours", caller), 60))
    assert longest_silence_ms(folder) < DEAD_AIR_MS
    written = list(decode((folder / "timeline.jsonl").read_bytes().splitlines()))
    assert "call_ended" == written[-1].kind
    return done


@pytest.mark.parametrize("name", GOES_ON)
def test_what_costs_no_engine_is_not_noticed(tmp_path: Path, name: str) -> None:
    done = call(tmp_path / "call", name, GOES_ON[name])

    assert EndReason.TRANSFER is done.session.reason
    assert [] == done.of("responder")
    assert ["order"] == done.toolbox.ran


@pytest.mark.parametrize("name", HANDED_OVER)
def test_where_the_engine_cannot_go_on_the_cascade_does(tmp_path: Path, name: str) -> None:
    done = call(tmp_path / "call", name, HANDED_OVER[name])

    assert done.session.reason in (EndReason.TRANSFER, EndReason.CALLER_HANGUP, EndReason.BOT_HANGUP)
    (handed,) = done.of("responder")
    assert [r for kind in ("heard_from", "reply_audio") for r in done.of(kind) if r.ms >= handed.ms]


@pytest.mark.parametrize("name", BROKEN_OFF)
def test_an_answer_that_breaks_off_is_one_that_was_short(tmp_path: Path, name: str) -> None:
    done = call(tmp_path / "call", name, BROKEN_OFF[name])

    assert done.session.reason in (EndReason.TRANSFER, EndReason.CALLER_HANGUP)
    said = [r.fields["heard"] for r in done.of("said") if r.fields["heard"]]
    assert LONG.startswith(said[1])
    assert PRESS in said

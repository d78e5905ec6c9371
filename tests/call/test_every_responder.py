"""The same call (greeting, three turns, an interruption, a tool, a transfer) with every responder, in real time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.call.guarded_world import longest_silence_ms
from tests.call.responders import (
    GOODBYE,
    GREETING,
    KEYS,
    LONG,
    ORDERED,
    PRESS,
    RESPONDERS,
    SERVERS,
    TALK,
    UNASKED,
    Outcome,
    Responder,
    carry,
    openai,
)
from tests.call.telephone import Act
from tests.peers.openai_voice import Fault, Say
from voicebot.core.timeline import EndReason, decode

DEAD_AIR_MS = 8000
LIVES_ON = ("late", "orphan", "limits", "garbage", "errors", "expire")
"""Faults that cost no engine: it leads the call to its end."""


def call(folder: Path, responder: str | Responder, decided_by: str, caller: Sequence[Act] = ()) -> Outcome:
    chosen = RESPONDERS[responder] if isinstance(responder, str) else responder
    return asyncio.run(asyncio.wait_for(carry(folder, chosen, decided_by, caller), 60))


def whole(folder: Path) -> None:
    """No dead air, and the record is complete."""
    assert longest_silence_ms(folder) < DEAD_AIR_MS
    written = list(decode((folder / "timeline.jsonl").read_bytes().splitlines()))
    assert "call_ended" == written[-1].kind


@pytest.mark.slow
@pytest.mark.parametrize("responder", RESPONDERS)
def test_the_same_call_passes(tmp_path: Path, responder: str) -> None:
    done = call(tmp_path / "call", responder, "ours")

    assert EndReason.TRANSFER is done.session.reason
    assert "+15550100" == done.line.transferred_to
    assert ["order"] == done.toolbox.ran
    said = [r.fields["heard"] for r in done.of("said") if r.fields["heard"]]
    assert [GREETING, ORDERED, GOODBYE] == [said[0], said[2], said[3]]
    assert LONG.startswith(said[1])
    assert len(said[1]) < len(LONG)
    assert 3 == len(done.of("turn"))
    assert ["order"] == [r.fields["name"] for r in done.of("tool") if "ok" in r.fields]
    assert [] == done.of("responder") == done.of("engine")
    whole(tmp_path / "call")


@pytest.mark.slow
def test_the_same_call_passes_where_gemini_takes_the_turns(tmp_path: Path) -> None:
    done = call(tmp_path / "call", "gemini_live", "engine")

    assert EndReason.TRANSFER is done.session.reason
    assert ["order"] == done.toolbox.ran
    assert SERVERS["gemini_live"].interrupted
    assert [] == done.of("responder") == done.of("engine")
    whole(tmp_path / "call")


@pytest.mark.slow
@pytest.mark.parametrize("responder", UNASKED)
def test_the_same_call_passes_by_keys_where_the_engine_cannot_be_asked(tmp_path: Path, responder: str) -> None:
    done = call(tmp_path / "call", UNASKED[responder], "ours", KEYS)

    assert EndReason.TRANSFER is done.session.reason
    assert "+15550100" == done.line.transferred_to
    assert ["order"] == done.toolbox.ran
    said = [r.fields["heard"] for r in done.of("said") if r.fields["heard"]]
    assert [GREETING, PRESS, ORDERED, GOODBYE] == [said[0], *said[2:]]
    assert LONG.startswith(said[1])
    assert len(said[1]) < len(LONG)
    assert [] == done.of("responder") == done.of("engine")
    whole(tmp_path / "call")


@pytest.mark.slow
@pytest.mark.parametrize("decided_by", ["ours", "both", "engine"])
def test_openai_is_told_within_40_ms_what_the_telephone_heard(tmp_path: Path, decided_by: str) -> None:
    done = call(tmp_path / "call", "openai_realtime", decided_by)

    server = SERVERS["openai_realtime"]
    (truncated,) = server.truncated
    assert abs(done.line.heard[1] - truncated[1]) <= 40
    assert EndReason.TRANSFER is done.session.reason
    assert [] == server.errors


@pytest.mark.slow
@pytest.mark.parametrize("fault", [*get_args(Fault)[1:]])
def test_whatever_goes_wrong_in_a_reply_the_call_goes_on(tmp_path: Path, fault: Any) -> None:
    talk = [TALK[0], Say(LONG, fault=fault), *TALK[2:]]

    done = call(tmp_path / "call", partial(openai, talk=talk), "ours")

    whole(tmp_path / "call")
    if fault != "stall":  # there the caller interrupts before anybody else misses the rest
        assert (fault in LIVES_ON) == (done.of("responder") == [])
    assert done.session.reason in (EndReason.TRANSFER, EndReason.CALLER_HANGUP, EndReason.BOT_HANGUP)
    handed = done.of("responder")
    if handed:
        after = [r.ms for r in done.of("heard_from") + done.of("reply_audio") if r.ms >= handed[0].ms]
        assert [] == handed[1:]
        assert "engine" in {r.kind for r in done.records}
        assert after


@pytest.mark.slow
@pytest.mark.parametrize("how", [{"refuses": "invalid_api_key"}, {"connect_after_s": 5.0}], ids=["refused", "slow"])
def test_a_server_that_cannot_be_had_costs_a_sentence(tmp_path: Path, how: dict[str, Any]) -> None:
    done = call(tmp_path / "call", partial(openai, **how), "ours")

    whole(tmp_path / "call")
    assert 1 == len(done.of("responder"))
    assert EndReason.TRANSFER is done.session.reason


@pytest.mark.slow
@pytest.mark.parametrize("how", [{"transcript_after_s": 1.5}, {"hears": ["failed"] * 3}], ids=["late", "fails"])
def test_a_transcript_that_fails_or_is_late_changes_nothing(tmp_path: Path, how: dict[str, Any]) -> None:
    done = call(tmp_path / "call", partial(openai, **how), "ours")

    assert EndReason.TRANSFER is done.session.reason
    assert [] == done.of("responder")

"""A recorded call whose bot is a native speech-to-speech engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.peers.openai_voice import Say, VoiceServer
from tests.replay.recorded_calls import call, channel, noise, settings
from tests.replay.test_rehear import records
from voicebot.carriers.wavline import read
from voicebot.core.timeline import Record
from voicebot.errors import UsageError
from voicebot.replay.cassette import Cassette, Mode
from voicebot.replay.clock import run
from voicebot.replay.recording import CallAudio
from voicebot.replay.rerun import Reran, rerun

PLAN = """
name: shop
description: Sells rolls.
engines: {responder: native, llm: scripted}
start: hello
nodes:
  hello:
    say: Rolls and more.
    intents:
      bag: {examples: ["yes", "no"], do: [{hang_up: Goodbye.}]}
"""
SIX = Path(__file__).parents[1] / "data/turns/six.flac"


def recorded(responder: str = "") -> CallAudio:
    began = Record(0, "call_started", {"dialplan": "shop", **({"responder": responder} if responder else {})})
    return call(channel(6, (2.0, read(SIX))), channel(6, (0.1, noise(1200)), (4.6, noise(900))), began)


async def take(folder: Path, mode: Mode, was: CallAudio) -> tuple[Reran, VoiceServer]:
    world = settings(folder, PLAN)
    async with VoiceServer([Say("Rolls and more."), Say("Six rolls, then.")], hears=["six"]) as server:
        world = world.model_copy(update={"openai_base_url": server.url})
        plan = world.dialplans / "shop.yaml"
        reran = await rerun(was, plan, world, folder / "again", "recorded", Cassette(folder / "cassette", mode))
    return reran, server


def test_it_is_on_no_cassette(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="native engine, which no cassette can hold; say --live"):
        run(take(tmp_path, "auto", recorded()))


def test_a_call_that_the_cascade_led_is_led_by_it_again(tmp_path: Path) -> None:
    _, server = run(take(tmp_path, "auto", recorded("cascade")))

    assert 0 == server.connections
    assert "cascade" == records(tmp_path / "again")[0].fields["responder"]


@pytest.mark.slow
def test_asked_live_it_takes_as_long_as_it_takes(tmp_path: Path) -> None:
    reran, server = run(take(tmp_path, "live", recorded()))

    found = records(tmp_path / "again")
    assert 1 == server.connections
    assert "openai_realtime" == found[0].fields["responder"]
    assert ["Rolls and more.", "Six rolls, then."] == [r.fields["heard"] for r in found if r.kind == "said"][:2]
    assert 6.0 == reran.heard.media_s <= reran.heard.wall_s + 0.1

"""Putting a caller through, in virtual time: who hears what, and the way back to the bot."""

from __future__ import annotations

import asyncio
import wave
from collections.abc import AsyncGenerator
from pathlib import Path

import numpy as np
import pytest

from tests.call.test_bridge import Heard
from tests.call.world import Brain, ToneTts, World, noise, silence, tone
from tests.virtual_time import run
from voicebot.call import briefing
from voicebot.carriers.base import Digit, HungUp, LineEvent
from voicebot.core.dialogue import CallerTurn, LlmEvent, Opening, Text, ToolCall, Unreached
from voicebot.core.dialplan import parse
from voicebot.core.timeline import EndReason
from voicebot.errors import CannotTransfer, PeerError

PLAN = """
name: test
start: welcome
operator: desk
transfers:
  desk: {to: "+15550100"}
  team: {to: "+15550101", kind: warm, briefing: Somebody wants bread.}
nodes: {welcome: {say: Hello there., do: hang_up}}
"""


class Human(Heard):
    """Whoever is called: presses `key` after two seconds on the line, says something, stays for `stays_s`."""

    def __init__(self, key: str = "", stays_s: float = 60.0) -> None:
        super().__init__(silence(4000) + noise(1000))
        self._line._stays_ms = 1 << 30
        self.key, self.stays_s, self.hung_up = key, stays_s, ""

    async def events(self) -> AsyncGenerator[LineEvent, None]:
        pressed = not self.key
        async for event in self._line.events():
            if self.clock_ms() > self.stays_s * 1000:
                yield HungUp("caller_hangup")
                return
            yield event
            if not pressed and self.clock_ms() >= 2000:
                pressed = True
                yield Digit(self.key)

    def send(self, pcm: bytes, epoch: int, sample: int) -> None:
        self.pcm += pcm
        self._line.send(pcm, epoch, sample)

    async def hangup(self, reason: str) -> None:
        self.hung_up = reason
        await super().hangup(reason)


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path / "call", parse(PLAN, "test.yaml"), pace="recorded")
    world.brain = puts_through_to("desk")
    return world


def puts_through_to(name: str) -> Brain:
    def brain(turn: CallerTurn) -> list[LlmEvent]:
        match turn:
            case Opening():
                return [Text("One moment."), ToolCall("1", "transfer", {"to": name})]
            case Unreached():
                return [Text("Nobody is there.")]
            case _:
                return [Text("Goodbye then."), ToolCall("2", "hang_up", {})]

    return brain


def right(world: World) -> np.ndarray:
    with wave.open(str(world.folder / "audio.wav")) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)[:, 1]


def test_a_transfer_that_fails_leaves_the_caller_with_the_bot_and_the_talk_goes_on(world: World) -> None:
    world.refuses = PeerError("486 Busy Here")

    session = run(world.call())

    assert Unreached("desk") == world.agent.turns[1]
    assert ("Nobody is there.", True) == world.agent.heard[1]
    assert EndReason.BOT_HANGUP is session.reason
    [noted] = world.of("transfer")
    assert (False, "486 Busy Here") == (noted.fields["ok"], noted.fields["why"])


def test_a_transfer_that_works_ends_the_call_as_one(world: World) -> None:
    session = run(world.call())

    assert EndReason.TRANSFER is session.reason
    assert "+15550100" == world.line.transferred_to


def test_a_telephone_that_takes_no_refer_is_joined_with_a_line_of_ours(world: World) -> None:
    human = Human(stays_s=8)
    world.refuses, world.dial = CannotTransfer("501"), dials(human)

    session = run(world.call(silence(6000) + tone(1000)))

    assert EndReason.TRANSFER is session.reason
    assert tone(1000)[640:] in human.pcm, "they hear the caller"
    assert noise(1000)[: 100 * 16] in right(world).astype("<i2").tobytes(), "the caller hears them"
    assert ["second line", "joined"] == [
        "second line" if "then" in each.fields else "joined" for each in world.of("transfer")
    ]


def dials(human: Human, after_s: float = 1.0) -> object:
    async def dial(destination: str) -> Human:
        await asyncio.sleep(after_s)
        return human

    return dial


def test_a_warm_transfer_tells_them_first_and_joins_who_presses_one(world: World) -> None:
    human = Human("1", stays_s=10)
    world.brain, world.dial = puts_through_to("team"), dials(human)

    session = run(world.call(silence(8000) + tone(1000)))

    assert EndReason.TRANSFER is session.reason
    assert noise(250) in human.pcm, "the briefing, in the bot's voice"
    assert tone(1000)[640:] in human.pcm
    assert "transfer" == human.hung_up


def test_who_presses_two_leaves_the_caller_to_the_bot(world: World) -> None:
    human = Human("2")
    world.brain, world.dial = puts_through_to("team"), dials(human)

    session = run(world.call())

    assert Unreached("team") == world.agent.turns[1]
    assert EndReason.BOT_HANGUP is session.reason
    assert human.hung_up


def test_an_answering_machine_presses_nothing_and_the_caller_is_kept_company_meanwhile(world: World) -> None:
    human = Human(stays_s=200)
    world.brain, world.dial = puts_through_to("team"), dials(human, after_s=10)

    session = run(world.call())

    assert Unreached("team") == world.agent.turns[1]
    assert EndReason.BOT_HANGUP is session.reason
    company = [each for each in world.of("fixed") if each.fields["sentence"] == "still_trying"]
    assert (10 + briefing.DECIDE_S) // 6 - 1 <= len(company)


def test_a_line_that_is_lost_while_they_talk_gives_the_caller_back(world: World) -> None:
    class Lost(Human):
        async def events(self) -> AsyncGenerator[LineEvent, None]:
            async for event in super().events():
                yield HungUp("media_lost") if self.clock_ms() > 3000 else event

    world.refuses, world.dial = CannotTransfer("501"), dials(Lost())

    run(world.call())

    assert Unreached("desk") == world.agent.turns[1]


def test_a_caller_who_hangs_up_while_it_rings_takes_the_other_call_back(world: World) -> None:
    cancelled: list[bool] = []

    async def rings(_: str) -> Human:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.append(True)
        raise AssertionError

    async def hangs_up() -> EndReason:
        asyncio.get_running_loop().call_later(5, lambda: setattr(world.line, "_ended", "caller_hangup"))
        return (await world.call()).reason or EndReason.CRASHED

    world.refuses, world.dial = CannotTransfer("501"), rings

    assert EndReason.CALLER_HANGUP is run(hangs_up())
    assert [True] == cancelled


def test_an_operator_who_is_not_there_either_ends_a_call_without_engines_politely(world: World) -> None:
    world.tts, world.refuses = ToneTts(fails=True), PeerError("480")

    session = run(world.call())

    assert EndReason.ENGINE_FAILED is session.reason
    assert ["sorry", "sorry", "putting_through", "trouble"] == [r.fields["sentence"] for r in world.of("fixed")]

"""Chains of engines as a dialplan lists them: which are started, with which options, and what is left out."""

from __future__ import annotations

import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from voicebot.call.stack import Engines
from voicebot.config import Settings
from voicebot.core.dialplan import Dialplan, parse
from voicebot.engines import registry
from voicebot.engines.base import EngineConfig
from voicebot.errors import PeerError, UsageError

PLAN = """
name: test
engines:
{engines}
start: welcome
nodes: {{welcome: {{say: Hello., do: hang_up}}}}
"""


def plan(engines: str) -> Dialplan:
    return parse(PLAN.format(engines="\n".join(f"  {line}" for line in engines.strip().splitlines())), "test.yaml")


class Engine:
    def __init__(self, config: EngineConfig, fault: Exception | None) -> None:
        self.config, self._fault = config, fault
        self.closed = False

    async def start(self) -> None:
        if self._fault:
            raise self._fault

    async def close(self) -> None:
        self.closed = True


Install = Callable[..., None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """`install(good=None, down=PeerError(…), absent="what it needs")`"""

    def made(**kinds: Any) -> None:
        def load(stage: str, name: str) -> types.ModuleType:
            module = types.ModuleType(name)
            what = kinds[name]
            module.check = lambda: what if isinstance(what, str) else None  # type: ignore[attr-defined]
            fault = what if isinstance(what, Exception) else None
            module.create = lambda config: Engine(config, fault)  # type: ignore[attr-defined]
            return module

        monkeypatch.setattr(registry, "load", load)

    return made


def engines(tmp_path: Path, **settings: Any) -> Engines:
    return Engines(Settings(data_dir=tmp_path, _env_file=None, **settings))  # type: ignore[call-arg]


async def test_all_that_can_run_are_started_in_order(install: Install, tmp_path: Path) -> None:
    install(good=None, absent="Install it.", other=None)
    chain = await engines(tmp_path).chain(plan("tts: [good, absent, other]"), "tts")
    assert ("good", "other") == chain.names


async def test_one_that_does_not_start_is_left_out(install: Install, tmp_path: Path) -> None:
    install(down=PeerError("no"), broken=ZeroDivisionError(), good=None)
    chain = await engines(tmp_path).chain(plan("tts: [down, broken, good]"), "tts")
    assert ("good",) == chain.names


async def test_when_none_is_left_it_says_why(install: Install, tmp_path: Path) -> None:
    install(down=PeerError("no answer"), absent="Install it.")
    with pytest.raises(UsageError, match=r"absent: Install it\.; down: no answer"):
        await engines(tmp_path).chain(plan("tts: [absent, down]"), "tts")


async def test_a_wrong_option_is_the_operators_to_mend(install: Install, tmp_path: Path) -> None:
    install(good=None, wrong=UsageError("no option 'x'"))
    with pytest.raises(UsageError, match="no option"):
        await engines(tmp_path).chain(plan("tts: [good, wrong]"), "tts")


async def test_the_dialplans_voice_is_the_first_ones_and_others_have_their_own(
    install: Install, tmp_path: Path
) -> None:
    install(one=None, two=None, three=None)
    text = "tts: [one, two, three]\nvoice: marin\noptions: {two: {voice: en-us+f3}}"
    chain = await engines(tmp_path).chain(plan(text), "tts")
    assert ["marin", "en-us+f3", ""] == [member.engine.config.voice for member in chain.members]


async def test_a_second_one_of_a_kind_has_a_label_and_options_of_its_own(install: Install, tmp_path: Path) -> None:
    install(openai=None)
    text = 'llm: [openai, "openai:backup"]\noptions: {openai: {model: big}, "openai:backup": {model: small}}'
    chain = await engines(tmp_path, openai_api_key="sk-test").chain(plan(text), "llm")
    assert ("openai", "openai:backup") == chain.names
    assert ["big", "small"] == [member.engine.config.options["model"] for member in chain.members]


async def test_the_same_name_in_several_stages_has_options_by_stage(install: Install, tmp_path: Path) -> None:
    install(openai=None)
    made = engines(tmp_path, openai_api_key="sk-test", openai_tts_base_url="http://127.0.0.1:8880/v1")
    both = plan("llm: openai\ntts: openai\noptions: {openai: {temperature: 0.2}, tts_openai: {speed: 1.1}}")
    llm, tts = await made.chain(both, "llm"), await made.chain(both, "tts")
    found = [chain.members[0].engine.config.options for chain in (llm, tts)]
    assert [("gpt-4.1-mini", ""), ("gpt-4o-mini-tts", "http://127.0.0.1:8880/v1")] == [
        (each["model"], each["base_url"]) for each in found
    ]
    assert (0.2, None, 1.1) == (found[0]["temperature"], found[1].get("temperature"), found[1]["speed"])


async def test_dialplans_that_ask_for_the_same_share_it_and_its_breaker(install: Install, tmp_path: Path) -> None:
    install(good=None)
    made = engines(tmp_path)
    one, two = [await made.chain(plan("tts: good"), "tts") for _ in range(2)]
    assert one.members[0] is two.members[0]
    await made.close()
    assert one.members[0].engine.closed


async def test_what_is_heard_above_the_telephones_band_is_the_engines_own_choice(
    install: Install, tmp_path: Path
) -> None:
    install(pocketsphinx=None, other=None, third=None)
    text = "asr: [pocketsphinx, other, third]\noptions: {other: {bandwidth: classical}, third: {bandwidth: off}}"
    chain = await engines(tmp_path).chain(plan(text), "asr")
    choices = [member.hears.bandwidth for member in chain.members]
    assert ["neural", "classical", "off"] == [choice.mode for choice in choices]
    assert ["auto: best in pocketsphinx's table", *["the dialplan says so"] * 2] == [choice.why for choice in choices]
    assert [{}, {}, {}] == [member.engine.config.options for member in chain.members]


async def test_a_dialplan_may_choose_the_bandwidth_of_all_and_nothing_is_claimed_of_what_nobody_measured(
    install: Install, tmp_path: Path
) -> None:
    install(pocketsphinx=None, other=None)
    made = engines(tmp_path)
    chosen = await made.chain(plan("asr: [pocketsphinx, other]\nbandwidth: off"), "asr")
    assert ["off", "off"] == [member.hears.bandwidth.mode for member in chosen.members]
    auto = (await made.chain(plan("asr: [other]"), "asr")).members[0].hears.bandwidth
    assert ("off", "auto: other has not been measured") == (auto.mode, auto.why)
    with pytest.raises(UsageError, match="bandwidth is one of off, classical, neural, auto"):
        await made.chain(plan("asr: [other]\noptions: {other: {bandwidth: wide}}"), "asr")


async def test_loudness_is_levelled_and_noise_left_where_that_was_measured_to_help_and_else_as_the_dialplan_says(
    install: Install, tmp_path: Path
) -> None:
    install(pocketsphinx=None, other=None)
    made = engines(tmp_path)
    text = "asr: [pocketsphinx, other]\noptions: {other: {level: on}}"
    chain = await made.chain(plan(text), "asr")
    assert [(True, False), (True, False)] == [(m.hears.level.on, m.hears.noise.on) for m in chain.members]
    assert ["auto: pocketsphinx's table", "the dialplan says so"] == [m.hears.level.why for m in chain.members]
    off = await made.chain(plan("asr: [pocketsphinx]\nlevel: off"), "asr")
    assert not off.members[0].hears.level.on
    assert off.members[0] is not chain.members[0]
    with pytest.raises(UsageError, match="level is one of on, off, auto"):
        await made.chain(plan("asr: [other]\noptions: {other: {level: loud}}"), "asr")


async def test_noise_suppression_that_is_not_installed_is_said_before_any_call(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(pocketsphinx=None)
    monkeypatch.setattr("voicebot.engines.denoise.check", lambda: "Install webrtc-noise-gain.")
    with pytest.raises(UsageError, match="Install webrtc-noise-gain"):
        await engines(tmp_path).chain(plan("asr: [pocketsphinx]\nnoise: on"), "asr")

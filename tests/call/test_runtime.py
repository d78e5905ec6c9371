"""The runtime: dialplans that come and go, engines that are chosen, calls that are listed and drained."""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.call.world import ScriptedAgent, ScriptedAsr, ToneTts, ToneVad, tone
from voicebot.call import runtime as runtimes
from voicebot.call.runtime import Runtime, new_call_id
from voicebot.carriers.base import CallInfo
from voicebot.carriers.wavline import WavLine
from voicebot.config import Settings
from voicebot.core.dialogue import Opening, Text, ToolCall
from voicebot.core.timeline import EndReason, decode
from voicebot.engines import registry
from voicebot.engines.base import EngineConfig
from voicebot.errors import UsageError

PLAN = """
name: {name}
start: welcome
takes: {{numbers: "{number}"}}
engines: {{asr: test, llm: test, tts: test}}
limits: {{silence_s: 2}}
nodes:
  welcome:
    say: Hello.
    do: hang_up
"""


class Engine:
    """A stand-in with the life of an engine."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def prepare(self, _: Any) -> None: ...

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class TestLlm(Engine):
    __test__ = False

    def prepare(self, _: Any) -> tuple[()]:  # type: ignore[override]
        return ()

    def open(self, _: Any) -> ScriptedAgent:
        return ScriptedAgent(
            lambda turn: [Text("Hello.")] if isinstance(turn, Opening) else [Text("Bye."), ToolCall("1", "hang_up", {})]
        )


@pytest.fixture(autouse=True)
def engines(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    made = {
        "vad": lambda config: Engine(ToneVad()),
        "asr": lambda config: Engine(ScriptedAsr(["yes"])),
        "tts": lambda config: Engine(ToneTts()),
        "llm": lambda config: TestLlm(None),
    }

    def load(stage: str, name: str) -> types.ModuleType:
        if name != "test":
            raise UsageError(f"There is no {stage} engine {name!r}.")
        module = types.ModuleType(f"{stage}_test")
        module.create, module.check = made[stage], lambda: None  # type: ignore[attr-defined]
        return module

    monkeypatch.setattr(registry, "load", load)
    yield
    sys.modules.pop("asr_test", None)


class List:
    def __init__(self, broken: bool = False) -> None:
        self.broken, self.entries = broken, []  # type: ignore[var-annotated]

    async def started(self, info: CallInfo, dialplan: str, started_at: datetime, folder: str, responder: str) -> None:
        if self.broken:
            raise ConnectionError
        self.entries.append(("started", dialplan))

    async def ended(self, call_id: str, reason: EndReason, seconds: float, turns: int) -> None:
        self.entries.append(("ended", reason))

    async def rejected(self, info: CallInfo, dialplan: str, why: str) -> None:
        self.entries.append(("rejected", why))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    folder = tmp_path / "dialplans"
    folder.mkdir()
    (folder / "one.yaml").write_text(PLAN.format(name="one", number="+1555*"))
    return Settings(data_dir=tmp_path / "data", dialplans=folder, vad="test", default_dialplan="")


async def started(settings: Settings, calls: List | None = None) -> Runtime:
    runtime = Runtime(settings, calls)
    await runtime.start()
    return runtime


def line() -> WavLine:
    return WavLine(CallInfo(new_call_id(), "wavline", "", "one"), [])


async def test_it_is_not_ready_before_it_has_started(settings: Settings) -> None:
    runtime = Runtime(settings)

    assert "starting" == runtime.not_ready()
    await runtime.start()
    assert runtime.not_ready() is None


async def test_without_any_dialplan_it_says_where_it_looked(settings: Settings) -> None:
    (settings.dialplans / "one.yaml").unlink()

    with pytest.raises(UsageError, match=r"no \.yaml file in"):
        await started(settings)


async def test_a_call_is_taken_by_the_dialplan_whose_number_fits(settings: Settings) -> None:
    (settings.dialplans / "two.yaml").write_text(PLAN.format(name="two", number="+4420*"))
    runtime = await started(settings)

    chosen = [runtime.choose(number, "") for number in ("+15550100", "+442071234567", "+4930123456")]

    assert ["one", "two", None] == [plan.name if plan else None for plan in chosen]


async def test_a_dialplan_that_breaks_keeps_its_last_good_version(settings: Settings) -> None:
    runtime = await started(settings)
    good = runtime.dialplans["one"]
    file = settings.dialplans / "one.yaml"

    file.write_text("name: one\nstart: nowhere\nnodes: {}\n")
    _touch(file, 10)
    await runtime.reload()

    assert good is runtime.dialplans["one"]
    assert "one.yaml" in next(iter(runtime.faults.values()))

    file.write_text(PLAN.format(name="one", number="+1777*"))
    _touch(file, 20)
    await runtime.reload()

    assert {} == runtime.faults
    assert runtime.choose("+17770000", "") is runtime.dialplans["one"]


async def test_an_engine_that_is_not_there_keeps_its_dialplan_out_and_says_why(settings: Settings) -> None:
    text = PLAN.format(name="two", number="*").replace("asr: test", "asr: marvellous")
    (settings.dialplans / "two.yaml").write_text(text)

    runtime = await started(settings)

    assert ["one"] == list(runtime.dialplans)
    assert "marvellous" in runtime.faults[str(settings.dialplans / "two.yaml")]


async def test_an_engine_that_did_not_start_is_started_again_later(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes, "AGAIN_S", 0.0)
    text = PLAN.format(name="one", number="*").replace("asr: test", 'asr: ["test:far", test]')
    (settings.dialplans / "one.yaml").write_text(text)
    is_up = False

    class Far(Engine):
        async def start(self) -> None:
            if not is_up:
                raise ConnectionRefusedError

    def make(stage: str, name: str, config: EngineConfig) -> Any:
        made = registry.load(stage, "test").create(config)
        return Far(made) if name == "test:far" else made

    runtime = Runtime(settings, make=make)
    await runtime.start()
    heard_by = [runtime.stack(runtime.dialplans["one"]).asr.names]
    await runtime.reload()
    heard_by.append(runtime.stack(runtime.dialplans["one"]).asr.names)
    is_up = True
    await runtime.reload()
    heard_by.append(runtime.stack(runtime.dialplans["one"]).asr.names)

    assert [("test",), ("test",), ("test:far", "test")] == heard_by


async def test_a_call_is_listed_before_and_after_and_its_record_says_what_it_was_made_of(settings: Settings) -> None:
    calls = List()
    runtime = await started(settings, calls)

    reason = await runtime.run_call(line(), runtime.dialplans["one"])

    assert [("started", "one"), ("ended", reason)] == calls.entries
    folder = next((settings.data_dir / "calls").iterdir())
    first = next(decode((folder / "timeline.jsonl").read_bytes().splitlines()))
    assert "call_started" == first.kind
    assert {"asr": "test", "llm": "test", "tts": "test"} == first.fields["engines"]
    assert runtime.dialplans["one"].hash == first.fields["dialplan_hash"]


async def test_a_call_list_that_is_down_costs_no_call(settings: Settings) -> None:
    runtime = await started(settings, List(broken=True))

    assert EndReason.BOT_HANGUP is await runtime.run_call(line(), runtime.dialplans["one"])


async def test_draining_takes_no_call_and_says_goodbye_to_those_that_stay(settings: Settings) -> None:
    runtime = await started(settings)
    chatty = WavLine(CallInfo(new_call_id(), "wavline", "", "one"), [tone(30_000)], "recorded")

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        call = group.create_task(runtime.run_call(chatty, runtime.dialplans["one"]))
        await asyncio.sleep(0.5)
        assert 1 == len(runtime.calls)
        drained = group.create_task(runtime.drain(0.2))
        await asyncio.sleep(0.01)
        assert "draining" == runtime.not_ready()
        await drained

    assert EndReason.DRAINED is call.result()


def _touch(file: Path, later_s: int) -> None:
    import os

    stat = file.stat()
    os.utime(file, (stat.st_atime, stat.st_mtime + later_s))

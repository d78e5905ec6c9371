"""What all calls of a process share: dialplans, warm engines, fixed sentences. And the calls themselves.

Everything that can be slow happens in `start`, before the first call: nothing is imported, loaded or built after
a call was answered.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from voicebot import __version__, log
from voicebot.call.parts import Parts
from voicebot.call.prompts import PromptCache
from voicebot.call.session import Session
from voicebot.call.tools import Toolbox
from voicebot.carriers.base import CallInfo, Line
from voicebot.config import Settings
from voicebot.core import dialplan as dp
from voicebot.core import manners
from voicebot.core.barge_in import over_bot
from voicebot.core.dialplan import Dialplan
from voicebot.core.timeline import EndReason, Record
from voicebot.engines import registry
from voicebot.engines.base import AgentContext, Asr, EngineConfig, Eot, Llm, Tts, Vad
from voicebot.errors import UsageError, VoicebotError

GOODBYE_S = 10.0
"""For the last sentence of calls that are still up when the drain deadline has come."""
LOG_DEADLINE_S = 2.0
"""The call list may be late or gone; the caller does not wait for it."""
_log = log.get("runtime")


class CallLog(Protocol):
    """Where calls are listed. Every method may fail; the call goes on."""

    async def started(self, info: CallInfo, dialplan: str, started_at: datetime, folder: str) -> None: ...

    async def ended(self, call_id: str, reason: EndReason, seconds: float, turns: int) -> None: ...

    async def rejected(self, info: CallInfo, dialplan: str, why: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Stack:
    """The engines that one dialplan's calls use."""

    asr: Asr
    llm: Llm
    voice: Tts
    names: Mapping[str, str]
    """Stage → engine name, for the record."""


def new_call_id() -> str:
    """Unique, url-safe, sorts by time."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"


class Runtime:
    """One per process. `start` before the first call, `drain` and `close` after the last."""

    def __init__(self, settings: Settings, log: CallLog | None = None) -> None:
        self.settings = settings
        self.dialplans: dict[str, Dialplan] = {}
        self.calls: dict[str, Session] = {}
        self.faults: dict[str, str] = {}
        """Dialplan file → why it is not in use (or why its last good version still is)."""
        self._call_log = log
        self._stacks: dict[str, Stack] = {}
        self._engines: dict[tuple[object, ...], Any] = {}
        self._prompts = PromptCache(settings.data_dir / "cache" / "prompts")
        self._files: dict[Path, float] = {}
        self._eot: Eot | None = None
        self._state = "starting"
        self._idle = asyncio.Event()
        self._idle.set()

    # --- start and stop

    async def start(self) -> None:
        """Load dialplans, start engines, speak the fixed sentences. `UsageError` when no call could be taken."""
        self.settings.data_dir.mkdir(parents=True, exist_ok=True)
        self._vad: Vad = await self._engine("vad", self.settings.vad, EngineConfig())
        if self.settings.eot_model:
            options = {"model": self.settings.eot_model}
            self._eot = await self._engine("eot", "onnx", EngineConfig(options=options))
        await self.reload()
        if not self.dialplans:
            faults = "; ".join(self.faults.values()) or f"no .yaml file in {self.settings.dialplans}"
            raise UsageError(f"No dialplan to work with: {faults}")
        self._state = "ready"

    async def close(self) -> None:
        for engine in reversed(self._engines.values()):
            await engine.close()
        self._engines.clear()

    async def reload(self) -> None:
        """Read dialplans that changed on disk; a bad one keeps its last good version, and says why."""
        path = self.settings.dialplans
        files = sorted(path.glob("*.y*ml")) if path.is_dir() else [path]
        for file in files:
            try:
                changed = file.stat().st_mtime
                if self._files.get(file) == changed:
                    continue
                self._files[file] = changed
                plan = dp.parse(file.read_text("utf-8"), str(file))
                stack = await self._prepare(plan)
            except (VoicebotError, OSError, UnicodeDecodeError) as error:
                self.faults[str(file)] = str(error)
                _log.error("dialplan_refused", file=str(file), error=str(error))
                continue
            self.faults.pop(str(file), None)
            self.dialplans[plan.name], self._stacks[plan.name] = plan, stack

    async def _prepare(self, plan: Dialplan) -> Stack:
        engines, names = plan.engines, {}
        names["asr"] = self._first("asr", engines.asr)
        names["llm"] = self._first("llm", engines.llm)
        names["tts"] = self._first("tts", engines.tts)
        asr: Asr = await self._engine("asr", names["asr"], self._config(plan, names["asr"], self.settings.asr_workers))
        llm: Llm = await self._engine("llm", names["llm"], self._config(plan, names["llm"], 1))
        tts: Tts = await self._engine("tts", names["tts"], self._config(plan, names["tts"], self.settings.tts_workers))
        expected, own = llm.prepare(plan), manners.of(plan.language)
        await asyncio.gather(
            asr.prepare([*expected, *(over_bot(each, own) for each in expected)]),
            self._prompts.prepare(tts, dp.fixed_sentences(plan)),
        )
        return Stack(asr, llm, tts, names)

    def _first(self, stage: str, names: tuple[str, ...]) -> str:
        """The first engine of a dialplan's list that can run here."""
        missing = []
        for name in names:
            lack = self._lack(stage, name)
            if lack is None:
                return name
            missing.append(f"{name}: {lack}")
        raise UsageError(f"No {stage} engine can run here ({'; '.join(missing)}).")

    def _lack(self, stage: str, name: str) -> str | None:
        if (stage, name) == ("llm", "openai"):
            has = self.settings.openai_api_key.get_secret_value() or self.settings.openai_base_url
            return None if has else "set OPENAI_API_KEY or OPENAI_BASE_URL"
        return registry.check(stage, name)

    def _config(self, plan: Dialplan, name: str, workers: int) -> EngineConfig:
        options: dict[str, Any] = {}
        if name == "openai":
            options = {
                "api_key": self.settings.openai_api_key.get_secret_value(),
                "base_url": self.settings.openai_base_url,
                "model": self.settings.openai_model,
            }
        if name == "espeak":
            options["say"] = {term: how.said for term, how in plan.lexicon.items() if how.said}
        options |= plan.engines.options.get(name, {})
        cache = str(self.settings.data_dir / "cache" / name)
        return EngineConfig(plan.language, plan.engines.voice, options, cache, workers)

    async def _engine(self, stage: str, name: str, config: EngineConfig) -> Any:
        """One engine for all dialplans that configure it alike."""
        key = (stage, name, config.language, config.voice, repr(sorted(config.options.items())), config.workers)
        if key not in self._engines:
            engine = registry.load(stage, name).create(config)
            await engine.start()
            self._engines[key] = engine
        return self._engines[key]

    def engine_names(self) -> dict[str, set[str]]:
        """Stage → the engines in use, over all dialplans."""
        names: dict[str, set[str]] = {}
        for stack in self._stacks.values():
            for stage, name in stack.names.items():
                names.setdefault(stage, set()).add(name)
        return names

    # --- calls

    def not_ready(self) -> str | None:
        """None when a call can be taken now, else why not."""
        if self._state != "ready":
            return self._state
        if len(self.calls) >= self.settings.max_calls:
            return "busy"
        return None

    def choose(self, called: str, caller: str, name: str = "") -> Dialplan | None:
        """The dialplan for a call: by name when the caller of this knows it, else by what the dialplans take."""
        if name:
            return self.dialplans.get(name)
        now = datetime.now(UTC)
        chosen = dp.choose(tuple(self.dialplans.values()), called, caller, now)
        return chosen or self.dialplans.get(self.settings.default_dialplan)

    async def run_call(
        self, line: Line, dialplan: Dialplan, watch: Callable[[Record], None] | None = None
    ) -> EndReason:
        """Carry one call from answer to end. The call is listed before its first audio is sent."""
        info, stack = line.info, self._stacks[dialplan.name]
        folder = self.settings.data_dir / "calls" / info.call_id
        started = datetime.now(UTC)
        await self._list(lambda log: log.started(info, dialplan.name, started, str(folder)))
        local = datetime.now(ZoneInfo(dialplan.timezone))
        context = AgentContext(dialplan, info.caller, info.called, local.isoformat(timespec="seconds"))
        toolbox = Toolbox(dialplan, info.call_id, info.caller, self.settings.data_dir / "notes.jsonl")
        parts = Parts(self._vad, stack.asr, stack.voice, stack.llm.open(context), self._prompts, toolbox, self._eot)
        session = Session(line, dialplan, parts, folder, self.settings.record, watch)
        session.open_record(
            call_id=info.call_id,
            carrier=info.carrier,
            dialplan=dialplan.name,
            dialplan_hash=dialplan.hash,
            engines=dict(stack.names),
            version=__version__,
            started_at=started.isoformat(timespec="milliseconds"),
        )
        self.calls[info.call_id] = session
        self._idle.clear()
        try:
            reason = await session.run()
        finally:
            del self.calls[info.call_id]
            if not self.calls:
                self._idle.set()
            ended = session.reason or EndReason.CRASHED
            seconds = line.clock_ms() / 1000
            await self._list(lambda log: log.ended(info.call_id, ended, seconds, session.turns))
        return reason

    async def _list(self, entry: Callable[[CallLog], Any]) -> None:
        if self._call_log is None:
            return
        try:
            async with asyncio.timeout(LOG_DEADLINE_S):
                await entry(self._call_log)
        except Exception as error:  # whatever a database raises: the caller must not suffer from it
            _log.error("call_list_failed", error=type(error).__name__)

    async def list_rejected(self, info: CallInfo, dialplan: str, why: str) -> None:
        """A call that was refused is listed, too."""
        await self._list(lambda log: log.rejected(info, dialplan, why))

    async def drain(self, seconds: float) -> None:
        """Take no more calls; let those that are up finish; at the deadline say goodbye."""
        self._state = "draining"
        if await self._all_gone(seconds):
            return
        for session in list(self.calls.values()):
            session.close(EndReason.DRAINED)
        await self._all_gone(GOODBYE_S)

    async def _all_gone(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

"""What all calls of a process share: dialplans, warm engines, fixed sentences. And the calls themselves.

Everything that can be slow happens in `start`, before the first call: nothing is imported, loaded or built after
a call was answered.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import numpy.fft  # numpy loads these two when they are first used, which must not be in a call
import numpy.ma  # noqa: F401

from voicebot import __version__, log
from voicebot.call.agents import Agents
from voicebot.call.beat import Beat
from voicebot.call.duplex import Native
from voicebot.call.interpreted import Booth
from voicebot.call.interpreter import Side
from voicebot.call.interpreting_cascade import interpreters
from voicebot.call.parts import Parts
from voicebot.call.prompts import PromptCache
from voicebot.call.pulse import Pulse
from voicebot.call.session import Session
from voicebot.call.stack import Engines, Make, Stack, lack, make
from voicebot.call.tools import Toolbox, Tools
from voicebot.carriers.base import CallInfo, Dial, Line
from voicebot.config import Settings
from voicebot.core import dialplan as dp
from voicebot.core import interpreting, manners
from voicebot.core.barge_in import over_bot
from voicebot.core.call_headers import NONE
from voicebot.core.dialplan import Dialplan
from voicebot.core.expect import NOTHING, Expectation
from voicebot.core.prompting import open_expectation
from voicebot.core.responders import CASCADE, chosen, may_be_native
from voicebot.core.timeline import EndReason, Record
from voicebot.engines.base import Agent, AgentContext, Asr, EngineConfig, Eot, Llm, Tts, Vad
from voicebot.engines.duplex_base import Duplex
from voicebot.engines.guard import Chain, Watch, warm_up
from voicebot.engines.guard_asr import GuardedAsr
from voicebot.engines.guard_llm import GuardedLlm
from voicebot.engines.guard_tts import GuardedTts
from voicebot.errors import UsageError, VoicebotError

GOODBYE_S = 10.0
"""For the last sentence of calls that are still up when the drain deadline has come."""
MOST_LEFT = 100
"""Calls that were put through last, and may come back."""
AGAIN_S = 60.0
"""An engine that did not start is started again so often."""
LOG_DEADLINE_S = 2.0
"""The call list may be late or gone; the caller does not wait for it."""
_log = log.get("runtime")


class CallLog(Protocol):
    """Where calls are listed. Every method may fail; the call goes on."""

    async def started(
        self, info: CallInfo, dialplan: str, started_at: datetime, folder: str, responder: str
    ) -> None: ...

    async def ended(self, call_id: str, reason: EndReason, seconds: float, turns: int) -> None: ...

    async def rejected(self, info: CallInfo, dialplan: str, why: str) -> None: ...


def new_call_id() -> str:
    """Unique, url-safe, sorts by time."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"


class Runtime:
    """One per process. `start` before the first call, `drain` and `close` after the last."""

    def __init__(
        self, settings: Settings, log: CallLog | None = None, make: Make = make, prompts: Path | None = None
    ) -> None:
        """`make` makes engines, `prompts` is where fixed sentences are kept: a replay has its own of both."""
        self.settings = settings
        self.dialplans: dict[str, Dialplan] = {}
        self.calls: dict[str, Session] = {}
        self.faults: dict[str, str] = {}
        """Dialplan file → why it is not in use (or why its last good version still is)."""
        self.pulse = Pulse(settings.late_ms, calls=lambda: len(self.calls))
        self._beat = Beat(self.pulse.late)
        self._call_log = log
        self._stacks: dict[str, Stack] = {}
        self._engines = Engines(settings, make)
        self._prompts = PromptCache(prompts or settings.data_dir / "cache" / "prompts")
        self._files: dict[Path, float] = {}
        self._incomplete: set[Path] = set()
        self._again_s = 0.0
        self._eot: Eot | None = None
        self._agents = Agents()
        self._left: OrderedDict[str, GuardedLlm] = OrderedDict()
        """Agents of calls that were put through, by call id: they know the conversation."""
        self._state = "starting"
        self._idle = asyncio.Event()
        self._idle.set()

    # --- start and stop

    async def start(self) -> None:
        """Load dialplans, start engines, speak the fixed sentences. `UsageError` when no call could be taken."""
        self.settings.data_dir.mkdir(parents=True, exist_ok=True)
        self._vad: Vad = (await self._engines.one("vad", self.settings.vad, EngineConfig())).engine
        if self.settings.eot_model:
            options = {"model": self.settings.eot_model}
            self._eot = (await self._engines.one("eot", "onnx", EngineConfig(options=options))).engine
        await self.reload()
        if not self.dialplans:
            faults = "; ".join(self.faults.values()) or f"no .yaml file in {self.settings.dialplans}"
            raise UsageError(f"No dialplan to work with: {faults}")
        self._state = "ready"

    async def close(self) -> None:
        await self._engines.close()

    async def reload(self) -> None:
        """Read dialplans that changed on disk; a bad one keeps its last good version, and says why."""
        self._try_again()
        path = self.settings.dialplans
        files = sorted(path.glob("*.y*ml")) if path.is_dir() else [path]
        for file in files:
            try:
                changed = file.stat().st_mtime
                if self._files.get(file) == changed:
                    continue
                self._files[file] = changed
                self._engines.unstarted.clear()
                plan = dp.parse(file.read_text("utf-8"), str(file))
                stack = await self._stack_of(plan)
            except (VoicebotError, OSError, UnicodeDecodeError) as error:
                self.faults[str(file)] = str(error)
                _log.error("dialplan_refused", file=str(file), error=str(error))
                continue
            finally:
                if self._engines.unstarted:
                    self._incomplete.add(file)
            self.faults.pop(str(file), None)
            self.dialplans[plan.name], self._stacks[plan.name] = plan, stack

    def _try_again(self) -> None:
        """Now and then, have those dialplans read anew of which an engine did not start: it may be able to now."""
        now_s = asyncio.get_running_loop().time()
        if now_s < self._again_s:
            return
        self._again_s = now_s + AGAIN_S
        for file in self._incomplete:
            self._files.pop(file, None)
        self._incomplete.clear()

    async def _stack_of(self, plan: Dialplan) -> Stack:
        """The engines of a dialplan's calls; of interpreted ones, those of the caller's side."""
        if plan.mode == "answer":
            return await self._prepare(plan)
        one, other = interpreting.sides(plan)
        stacks = [await self._prepare(side) for side in (one, other)]
        there = await interpreters(self._engines, one, other, stacks[1].tts)
        back = await interpreters(self._engines, other, one, stacks[0].tts)
        self._stacks[other.name] = replace(stacks[1], s2s=back)
        return replace(stacks[0], s2s=there)

    async def _prepare(self, plan: Dialplan) -> Stack:
        engines, settings = self._engines, self.settings
        asr: Chain[Asr] = await engines.chain(plan, "asr", settings.asr_workers)
        llm: Chain[Llm] = await engines.chain(plan, "llm")
        tts: Chain[Tts] = await engines.chain(plan, "tts", settings.tts_workers)
        native = await self._native(plan)
        anything = await asyncio.to_thread(open_expectation, plan) if native else NOTHING
        expected = [each for member in llm.members for each in member.engine.prepare(plan)]
        expected += [anything] if native else []
        expected += [interpreting.expectation(plan)] if plan.mode == "interpret" else []
        own = manners.of(plan.language)
        wanted = [*expected, *(over_bot(each, own) for each in expected)]
        _, *voices = await asyncio.gather(
            self._prepare_ears(asr, wanted), self._prepare_voice(tts, dp.fixed_sentences(plan))
        )
        return Stack(asr, llm, tts, voices[0], native, anything)

    async def _native(self, plan: Dialplan) -> Chain[Duplex] | None:
        """The dialplan's native engines. Where none can run, its calls are the cascade's."""
        if not may_be_native(plan.engines) or plan.mode == "interpret":
            return None
        missing = [lack(self.settings, "s2s", name, plan) for name in plan.engines.native]
        if all(missing):
            _log.warning("no_native_engine", dialplan=plan.name, why="; ".join(filter(None, missing)))
            return None
        return await self._engines.chain(plan, "s2s")

    async def _prepare_ears(self, chain: Chain[Asr], wanted: Sequence[Expectation]) -> None:
        for member in chain.members:
            try:
                await member.engine.prepare(wanted)
            except Exception as error:
                if member is chain.members[0]:
                    raise
                _log.warning("ears_not_prepared", engine=member.name, error=str(error))

    async def _prepare_voice(self, chain: Chain[Tts], sentences: Sequence[str]) -> str:
        """Have the fixed sentences spoken, by the first voice that can. Its id. What a first try has spoken is kept for
        the second: a server may have been too busy for so many at once."""
        for member in chain.members:
            for again in (False, True):
                try:
                    await self._prompts.prepare(member.engine, sentences)
                    return member.engine.voice_id
                except Exception as error:
                    if again and member is chain.members[-1]:
                        raise
                    _log.warning("voice_not_prepared", engine=member.name, error=str(error))
        raise AssertionError("a chain has members")

    def engine_names(self) -> dict[str, set[str]]:
        """Stage → the engines in use, over all dialplans."""
        names: dict[str, set[str]] = {}
        for stack in self._stacks.values():
            for stage, engines in stack.names.items():
                names.setdefault(stage, set()).update(engines.split(", "))
        return names

    # --- calls

    def not_ready(self, announced: bool = False, coming: int = 0) -> str | None:
        """None when a call can be taken now, else why not. One that was `announced` is not sent away for the load.
        `coming`: calls that were let in, and are not up yet."""
        if self._state != "ready":
            return self._state
        full = self.calls and not announced and self.pulse.full(coming)
        if full or len(self.calls) + coming >= self.settings.max_calls:
            return "busy"
        return None

    def choose(self, called: str, caller: str, name: str = "", headers: Mapping[str, str] = NONE) -> Dialplan | None:
        """The dialplan for a call: by name when the caller of this knows it, else by what the dialplans take."""
        if name:
            return self.dialplans.get(name)
        now = datetime.now(UTC)
        chosen = dp.choose(tuple(self.dialplans.values()), called, caller, now, headers)
        return chosen or self.dialplans.get(self.settings.default_dialplan)

    async def run_call(
        self,
        line: Line,
        dialplan: Dialplan,
        watch: Callable[[Record], None] | None = None,
        dial: Dial | None = None,
        side: Side | None = None,
    ) -> EndReason:
        """Carry one call from answer to end. The call is listed before its first audio is sent. `dial`: how others are
        called meanwhile, to put the caller through, or as the other side of an interpreted call; `side` is which of
        its sides this line is."""
        if side is None and self._agents.is_one(dialplan, line):
            return await self._agents.serve(dialplan.name, line)
        if dialplan.mode == "interpret" and side is None:
            return await self._interpret(line, dialplan, watch, dial)
        info, stack = line.info, self._stacks[dialplan.name]
        folder = self.settings.data_dir / "calls" / info.call_id
        started = datetime.now(UTC)
        responder = stack.responder(chosen(dialplan.engines, info.call_id))
        await self._list(lambda log: log.started(info, dialplan.name, started, str(folder), responder))
        local = datetime.now(ZoneInfo(dialplan.timezone))
        context = AgentContext(dialplan, info.caller, info.called, local.isoformat(timespec="seconds"), info.headers)
        toolbox = Toolbox(dialplan, info.call_id, info.caller, self.settings.data_dir / "notes.jsonl")
        guarding = side.watch if side else Watch()
        ears, parts = self.parts(context, toolbox, guarding, responder)
        parts = replace(parts, dial=dial, unreached=info.unreached)
        parts = replace(parts, native=side, agent=side) if side else self._continued(parts, info.continues, guarding)
        session = Session(line, dialplan, parts, folder, self.settings.record, watch)
        guarding.tell = partial(session.note, "engine")
        session.open_record(
            call_id=info.call_id,
            carrier=info.carrier,
            dialplan=dialplan.name,
            dialplan_hash=dialplan.hash,
            responder=responder,
            engines=stack.names,
            version=__version__,
            **({"continues": info.continues} if info.continues else {}),
            started_at=started.isoformat(timespec="milliseconds"),
        )
        session.note("bandwidth", engines=stack.hears)
        session.note("treatment", engines=stack.treats, gaps=dialplan.engines.gaps)
        self.calls[info.call_id] = session
        self._idle.clear()
        try:
            async with ears:
                for chain in (stack.llm, stack.tts):
                    ears.run(warm_up(chain.stage, chain.likely(), chain.likely().engine, guarding))
                reason = await session.run()
        finally:
            del self.calls[info.call_id]
            if not self.calls:
                self._idle.set()
            ended = session.reason or EndReason.CRASHED
            agent = parts.agent.agent if isinstance(parts.agent, Native) else parts.agent
            if ended is EndReason.TRANSFER and isinstance(agent, GuardedLlm):
                self._left[info.call_id] = agent  # should the carrier give the caller back
                while len(self._left) > MOST_LEFT:
                    self._left.popitem(last=False)
            seconds = line.clock_ms() / 1000
            await self._list(lambda log: log.ended(info.call_id, ended, seconds, session.turns))
        return reason

    def _continued(self, parts: Parts, call_id: str, guarding: Watch) -> Parts:
        """With the agent of the call that this one goes on with, if there is one and we know it still."""
        if (agent := self._left.pop(call_id, None)) is None:
            return parts
        agent.watched_by(guarding)
        if isinstance(parts.native, Native):
            parts.native.agent = agent
            return parts
        return replace(parts, agent=agent)

    async def _interpret(
        self, line: Line, plan: Dialplan, watch: Callable[[Record], None] | None, dial: Dial | None
    ) -> EndReason:
        there, back = (self._stacks[side.name].s2s for side in interpreting.sides(plan))
        assert there
        assert back

        async def carry(line: Line, of: Dialplan, side: Side) -> EndReason:
            return await self.run_call(line, of, watch if of.name == plan.name else None, side=side)

        return await Booth(plan, (there, back), carry, self.calls.get, dial, self._agents).run(line)

    def parts(
        self, context: AgentContext, toolbox: Tools, guarding: Watch, responder: str = CASCADE
    ) -> tuple[GuardedAsr, Parts]:
        """What a call is made of: warm engines behind guards of its own. The ears are to be entered for as long as it
        lives. `responder`: a native engine that is to lead, where it is there."""
        stack = self._stacks[context.dialplan.name]
        responder = CASCADE if context.dialplan.mode == "interpret" else responder
        ears, voice = GuardedAsr(stack.asr, guarding), GuardedTts(stack.tts, guarding, stack.voice_id)
        agent, s2s = GuardedLlm(stack.llm, context, guarding), stack.native(responder)
        native = Native(s2s, agent, context, guarding, stack.anything) if s2s else None
        leads: Agent = native or agent
        return ears, Parts(
            self._vad,
            ears,
            voice,
            leads,
            self._prompts,
            toolbox,
            self._eot,
            ears.final_ms,
            native=native,
            beat=self._beat,
        )

    def stack(self, dialplan: Dialplan) -> Stack:
        """The engines of a dialplan's calls."""
        return self._stacks[dialplan.name]

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

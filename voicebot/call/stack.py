"""The engines that a dialplan's calls use: chosen, started, shared by all calls, each behind its breaker.

A dialplan lists engines in order, `llm: [openai, scripted]`. A name may carry a label, `openai:backup`, for a second
one of the same kind with options of its own. Options are looked up under `<stage>_<name>` and then under `<name>`;
where the same name stands in several stages, the short one is the agent's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from voicebot import log
from voicebot.config import Settings
from voicebot.core.dialplan import Dialplan
from voicebot.core.expect import NOTHING, Expectation
from voicebot.core.plan_base import switched
from voicebot.core.responders import CASCADE
from voicebot.engines import registry
from voicebot.engines.base import Asr, EngineConfig, Llm, Tts
from voicebot.engines.duplex_base import Duplex
from voicebot.engines.guard import Chain, Member
from voicebot.engines.treatment import Hears, hears_through
from voicebot.errors import UsageError

OPENAI = ("openai", "openai_realtime", "openai_translate")
"""Engines whose key and address may be among the settings."""
HEARING = ("bandwidth", "level", "noise")
"""Of a dialplan's engines, and among the options of one: what a recogniser hears the line through."""
_log = log.get("stack")


@dataclass(frozen=True, slots=True)
class Stack:
    """The engines of one dialplan's calls, each stage's in order."""

    asr: Chain[Asr]
    llm: Chain[Llm]
    tts: Chain[Tts]
    voice_id: str
    """Of the fixed sentences."""
    s2s: Chain[Duplex] | None = None
    """Native engines, where the dialplan has calls for them and one can run here."""
    anything: Expectation = NOTHING
    """What callers may say to a native engine."""

    @property
    def hears(self) -> dict[str, str]:
        """Recogniser → what it hears above the line's band, and why, for the record."""
        through = {each.name: each.hears.bandwidth for each in self.asr.members}
        return {name: f"{choice.mode} ({choice.why})" for name, choice in through.items()}

    @property
    def treats(self) -> dict[str, dict[str, str]]:
        """Recogniser → what else is done to what it hears, and why, for the record."""
        return {
            each.name: {
                what: f"{'on' if of.on else 'off'} ({of.why})"
                for what, of in (("level", each.hears.level), ("noise", each.hears.noise))
            }
            for each in self.asr.members
        }

    @property
    def names(self) -> dict[str, str]:
        """Stage → engines, for the record."""
        chains: tuple[Chain[Any] | None, ...] = (self.asr, self.llm, self.tts, self.s2s)
        return {chain.stage: ", ".join(chain.names) for chain in chains if chain}

    def responder(self, name: str) -> str:
        """Who leads a call that is for the responder of this name: itself, unless it cannot run here."""
        chain = self.native(name)
        return chain.names[0] if chain else CASCADE

    def native(self, name: str) -> Chain[Duplex] | None:
        """The native engines for a call that is for the one of this name; it comes first."""
        if self.s2s is None or name == CASCADE:
            return None
        members = sorted(self.s2s.members, key=lambda member: member.name != name)
        return Chain(self.s2s.stage, *members)


def lack(settings: Settings, stage: str, name: str, plan: Dialplan | None = None) -> str | None:
    """None when the engine can run here, for this dialplan, else what it needs."""
    kind = name.partition(":")[0]
    own = _options(plan, stage, name) if plan else {}
    if kind in OPENAI and (own.get("api_key") or own.get("base_url")):
        return None
    if kind in OPENAI and stage != "vad":  # the settings may come from .env, which no engine reads
        has = settings.openai_api_key.get_secret_value() or settings.openai_base_url or _own_url(settings, stage)
        return None if has else "set OPENAI_API_KEY or OPENAI_BASE_URL"
    try:
        return registry.check(stage, kind, own)
    except ImportError as error:
        return f"cannot be imported: {error}"


def _own_url(settings: Settings, stage: str) -> str:
    return {"asr": settings.openai_asr_base_url, "tts": settings.openai_tts_base_url}.get(stage, "")


Make = Callable[[str, str, EngineConfig], Any]
"""An engine, not started yet, from its stage, its name in the dialplan and its configuration."""


def make(stage: str, name: str, config: EngineConfig) -> Any:
    """The engine of that name."""
    return registry.load(stage, name.partition(":")[0]).create(config)


class Engines:
    """Every engine that was started, by its configuration: dialplans that configure one alike share it."""

    def __init__(self, settings: Settings, make: Make = make) -> None:
        self._settings, self._make = settings, make
        self._members: dict[tuple[object, ...], Member[Any]] = {}
        self.unstarted: set[str] = set()
        """Engines that could run here and did not start, since this was last cleared."""

    async def one(self, stage: str, name: str, config: EngineConfig) -> Member[Any]:
        """Started, or as it runs already."""
        options = repr(sorted(config.options.items()))
        hearing = (config.bandwidth, config.level, config.noise)
        key = (stage, name, config.language, config.voice, options, config.workers, hearing)
        if key not in self._members:
            engine = self._make(stage, name, config)
            await engine.start()
            self._members[key] = Member(
                name, engine, hears=hears_through(name, *hearing) if stage == "asr" else Hears()
            )
        return self._members[key]

    def lack(self, stage: str, name: str) -> str | None:
        """None when the engine can run here, else what it needs."""
        return lack(self._settings, stage, name)

    async def named(self, plan: Dialplan, stage: str, name: str) -> Member[Any]:
        """One engine as a dialplan configures it, started."""
        return await self.one(stage, name, self._config(plan, stage, name, 1))

    async def chain(self, plan: Dialplan, stage: str, workers: int = 1) -> Chain[Any]:
        """All of the dialplan's engines that can run here. One that does not start is left out, unless it is the last
        hope, or an option is wrong. `UsageError` when there is none."""
        names: tuple[str, ...] = getattr(plan.engines, "native" if stage == "s2s" else stage)
        members, missing = [], []
        for name in names:
            if (why := lack(self._settings, stage, name, plan)) is not None:
                missing.append(f"{name}: {why}")
                continue
            try:
                members.append(await self.one(stage, name, self._config(plan, stage, name, workers)))
            except UsageError:
                raise
            except Exception as error:  # whatever a library raises when it cannot start
                missing.append(f"{name}: {error}")
                self.unstarted.add(name)
                _log.warning("engine_not_started", stage=stage, engine=name, error=str(error))
        if not members:
            raise UsageError(f"No {stage} engine can run here ({'; '.join(missing)}).")
        return Chain(stage, *members)

    def _config(self, plan: Dialplan, stage: str, name: str, workers: int) -> EngineConfig:
        kind = name.partition(":")[0]
        options: dict[str, Any] = self._of_settings(stage) if kind in OPENAI else {}
        if kind in ("espeak", "piper", "coqui"):
            options["say"] = {term: how.said for term, how in plan.lexicon.items() if how.said}
        options |= _options(plan, stage, name)
        voice = str(options.pop("voice", "")) if stage == "tts" else ""
        if stage == "tts" and not voice and name == plan.engines.tts[0]:
            voice = plan.engines.voice
        wanted = HEARING if stage == "asr" else ()
        hearing = (_switched(options.pop(what, getattr(plan.engines, what))) for what in wanted)
        cache = str(self._settings.data_dir / "cache" / kind)
        return EngineConfig(plan.language, voice, options, cache, workers, *hearing)

    def _of_settings(self, stage: str) -> dict[str, Any]:
        settings = self._settings
        model = {"asr": settings.openai_asr_model, "llm": settings.openai_model, "tts": settings.openai_tts_model}
        return {
            "api_key": settings.openai_api_key.get_secret_value(),
            "base_url": _own_url(settings, stage) or settings.openai_base_url,
            **({"model": model[stage]} if stage in model else {}),
        }

    async def close(self) -> None:
        """Stop them all."""
        for member in reversed(self._members.values()):
            await member.engine.close()
        self._members.clear()


def _switched(value: Any) -> str:
    return "off" if value is None else str(switched(value))


def _options(plan: Dialplan, stage: str, name: str) -> Mapping[str, Any]:
    tables = plan.engines.options
    if (own := tables.get(f"{stage}_{name}")) is not None:
        return own
    return tables.get(name, {}) if stage == "llm" or name not in plan.engines.llm else {}

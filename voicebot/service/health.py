"""Metrics and health, for those who operate the service. No label ever holds personal data."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from voicebot.call.pulse import Pulse, Reading
from voicebot.core.timeline import Record

SECONDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0)
LAG_EVERY_S = 0.25
COUNTED = frozenset(
    {"call_started", "responder", "turn", "silence", "heard_from", "engine", "hold", "resume", "call_ended"}
)
"""Kinds of records that `CallWatch` has a use for: what other processes tell of their calls."""


class Watched(Protocol):
    """What is asked of the processes that carry calls beside ours."""

    @property
    def lag_s(self) -> float: ...

    @property
    def readings(self) -> list[Reading]: ...

    def loads(self) -> dict[int, int]: ...


class Metrics:
    """One registry for the service; `watch(carrier)` turns a call's timeline into figures."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        self.live = Gauge("voicebot_calls_live", "Calls that are up now.", registry=r)
        self.ended = Counter("voicebot_calls", "Calls that ended, by reason.", ["carrier", "reason"], registry=r)
        self.refused = Counter("voicebot_calls_refused", "Calls refused, by reason.", ["carrier", "why"], registry=r)
        self.sip_dropped = Counter(
            "voicebot_sip_dropped", "SIP messages dropped or refused outside of a call, by reason.", ["why"], registry=r
        )
        self.sip_free = Gauge("voicebot_sip_places_free", "SIP calls that could be taken now.", registry=r)
        self.sip_registered = Gauge("voicebot_sip_accounts_registered", "SIP accounts that are registered.", registry=r)
        self.sip_registrar = Gauge(
            "voicebot_sip_registrar_in_use", "1 for the registrar at which an account is registered and calls out.",
            ["account", "registrar"], registry=r,
        )  # fmt: skip
        self.turns = Counter("voicebot_turns", "Caller turns, by kind.", ["kind"], registry=r)
        self.malformed = Counter("voicebot_malformed", "Malformed messages, by reason.", ["reason"], registry=r)
        self.ignored = Counter(
            "voicebot_ignored_events", "Events the turn machine had no use for.", ["event"], registry=r
        )
        self.faults = Counter("voicebot_engine_faults", "Engine failures, by stage.", ["stage"], registry=r)
        self.switches = Counter(
            "voicebot_engine_switches", "Times an engine took over from one that failed.", ["stage", "name"], registry=r
        )
        self.breakers = Gauge(
            "voicebot_engine_breaker_open", "1 while an engine is left alone for its failures.", ["stage", "name"],
            registry=r,
        )  # fmt: skip
        self.barge_ins = Counter("voicebot_holds", "Times the bot held its speech for a voice.", registry=r)
        self.resumes = Counter("voicebot_resumes", "Holds that were no interruption.", registry=r)
        self.gap = Histogram(
            "voicebot_voice_to_voice_seconds", "End of the caller's speech to the first audio of the answer.",
            ["responder"], buckets=SECONDS, registry=r,
        )  # fmt: skip
        self.gap.labels("cascade")
        self.responders = Counter("voicebot_responder_calls", "Calls, by who led them.", ["responder"], registry=r)
        self.handovers = Counter("voicebot_handovers", "Calls that went to the cascade.", ["responder"], registry=r)
        self.greeting = Histogram(
            "voicebot_greeting_seconds", "Answer to the first audio of the greeting.", buckets=SECONDS, registry=r
        )
        self.lag = Gauge("voicebot_event_loop_lag_seconds", "How late the event loop ran last.", registry=r)
        self.late = Gauge(
            "voicebot_lateness_seconds", "How late calls' messages left, over 2 s, while calls are up.", ["quantile"],
            registry=r,
        )  # fmt: skip
        self.busy = Gauge("voicebot_event_loop_busy_ratio", "Share of a core that calls use, over 2 s.", registry=r)
        self.worker_calls = Gauge(
            "voicebot_worker_calls_live", "Calls that a process carries now; 0 is the service itself.", ["worker"],
            registry=r,
        )  # fmt: skip
        self.restarts = Counter("voicebot_worker_restarts", "Processes that carried calls and were lost.", registry=r)

    def expose(self) -> bytes:
        """Prometheus text format."""
        return generate_latest(self.registry)

    async def watch_loop(self, pulse: Pulse, crew: Watched | None = None) -> None:
        """Measure how late timers fire, and show what the calls' pulse says, for ever: of the process that is worst
        off, where there are several."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_EVERY_S
            await asyncio.sleep(LAG_EVERY_S)
            lag_s, readings = max(0.0, loop.time() - due), [pulse.reading]
            if crew:
                lag_s, readings = max(lag_s, crew.lag_s), [pulse.reading, *crew.readings]
                for number, calls in crew.loads().items():
                    self.worker_calls.labels(str(number)).set(calls)
            self.lag.set(lag_s)
            self.late.labels("0.5").set(max(reading.late_p50 for reading in readings) / 1000)
            self.late.labels("0.99").set(max(reading.late_p99 for reading in readings) / 1000)
            self.busy.set(max(reading.busy for reading in readings))


class CallWatch:
    """One call's timeline, as it happens, into the metrics."""

    def __init__(self, metrics: Metrics, carrier: str) -> None:
        self._metrics, self._carrier = metrics, carrier
        self._spoke_until_ms: int | None = None
        self._responder = "cascade"

    def __call__(self, record: Record) -> None:
        metrics, fields = self._metrics, record.fields
        match record.kind:
            case "call_started":
                self._responder = str(fields.get("responder", "cascade"))
                metrics.responders.labels(self._responder).inc()
            case "responder":
                metrics.handovers.labels(self._responder).inc()
                self._responder = str(fields["name"])
            case "turn":
                spoken = bool(fields.get("text"))
                metrics.turns.labels("spoken" if spoken else "keyed" if fields.get("digits") else "unclear").inc()
                self._spoke_until_ms = int(fields["end_ms"])
            case "silence":
                metrics.turns.labels("silence").inc()
                self._spoke_until_ms = None
            case "heard_from" if fields.get("turn") == 1:
                metrics.greeting.observe(max(0, record.ms) / 1000)
            case "heard_from" if self._spoke_until_ms is not None:
                metrics.gap.labels(self._responder).observe(max(0, record.ms - self._spoke_until_ms) / 1000)
                self._spoke_until_ms = None
            case "engine":
                self._engine(fields)
            case "hold":
                metrics.barge_ins.inc()
            case "resume":
                metrics.resumes.inc()
            case "call_ended":
                metrics.ended.labels(self._carrier, fields["reason"]).inc()
                for why, count in fields.get("malformed", {}).items():
                    metrics.malformed.labels(why).inc(count)
                for event, count in fields.get("ignored", {}).items():
                    metrics.ignored.labels(event).inc(count)
            case _:
                pass

    def _engine(self, fields: dict[str, Any]) -> None:
        metrics, stage = self._metrics, fields["stage"]
        if fields.get("fault"):
            metrics.faults.labels(stage).inc()
        if (then := fields.get("then")) and then != fields["name"]:
            metrics.switches.labels(stage, then).inc()
        if "breaker" in fields:
            metrics.breakers.labels(stage, fields["name"]).set(fields["breaker"] != "closed")

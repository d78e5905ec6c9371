"""What a call knows so far: slots with their values, and everything a text may mention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from typing import Any

from voicebot.core import call_headers, say
from voicebot.core.hours import is_open, next_opening
from voicebot.core.plan import Slot
from voicebot.core.sentences import GREETINGS, constants
from voicebot.core.slots import Reader


@dataclass(frozen=True, slots=True)
class Filled:
    value: str
    """Canonical; always one that its type may hold."""
    sure: float
    """0..1, as heard."""
    confirmed: bool = False


class Memory:
    """`now`: local time at the place; `caller`: number or SIP user; `headers`: as `call_headers.kept` gives them."""

    def __init__(self, reader: Reader, now: datetime, caller: str, headers: Mapping[str, str]) -> None:
        self._reader, self._now, self._caller = reader, now, caller
        self._headers = call_headers.values(reader.headers, headers)
        self.filled: dict[str, Filled] = {}
        self._results: dict[str, str] = {}
        self._constants = constants(reader.plan)

    @property
    def today(self) -> date:
        return self._now.date()

    def __contains__(self, slot: str) -> bool:
        return slot in self.filled

    def value(self, slot: str) -> str:
        """Empty when it is not filled."""
        return self.filled[slot].value if slot in self.filled else ""

    def put(self, slot: str, value: str, sure: float) -> bool:
        """Fill a slot; False, and nothing done, when its type may not hold `value`."""
        if not self._reader.valid(self._reader.slot(slot), value):
            return False
        self.filled[slot] = Filled(value, sure)
        return True

    def confirm(self, slot: str) -> None:
        if slot in self.filled:
            self.filled[slot] = replace(self.filled[slot], confirmed=True)

    def drop(self, slot: str) -> bool:
        """Whether there was anything to drop."""
        return self.filled.pop(slot, None) is not None

    def learn(self, tool: str, result: Mapping[str, Any]) -> None:
        """Plain values of a tool's answer, as `{tool_key}`."""
        for key, value in result.items():
            if isinstance(value, str | int | float):
                self._results[f"{tool}_{key}"] = str(value)[:200]

    def holds(self, condition: str) -> bool:
        """`open`, `closed`, `slot`, `slot = value`; a header is a slot that is filled from the start."""
        condition = condition.strip()
        if condition in ("open", "closed"):
            return is_open(self._reader.plan.hours, self._now) == (condition == "open")
        slot, equals, value = (part.strip() for part in condition.partition("="))
        found = self._headers.get(slot) or self.value(slot)
        return found == value if equals else bool(found) or slot in self.filled

    # --- in texts ------------------------------------------------------------------------------------------------

    def raw(self) -> dict[str, str]:
        """Values for tools."""
        slots = {slot: filled.value for slot, filled in self.filled.items()}
        return {**self._special(), **self._results, **self._headers, "caller": self._caller, **slots}

    def spoken(self) -> dict[str, str]:
        """Values as they are said."""
        slots = {slot: self.said(slot) for slot in self.filled}
        headers = {slot: call_headers.spoken(value) for slot, value in self._headers.items()}
        caller = say.digits(self._caller) or self._caller
        return {**self._special(), **self._results, **headers, "caller": caller, **slots}

    def _special(self) -> dict[str, str]:
        opens = next_opening(self._reader.plan.hours, self._now)
        return {
            **self._constants,
            "today": say.day(self.today, self.today),
            "greeting": GREETINGS[0 if self._now.hour < 12 else 1 if self._now.hour < 18 else 2],
            "opens": f"{say.day(opens.date(), self.today)} at {say.clock(opens.time())}" if opens else "",
        }

    def said(self, slot: str) -> str:
        """A slot's value in its spoken form; empty when it is not filled."""
        value = self.value(slot)
        return spoken_value(self._reader.slot(slot), value, self.today) if value else ""


def spoken_value(spec: Slot, value: str, today: date) -> str:
    """`2026-12-01` → `Tuesday, December first`, by the type of `spec`."""
    match spec.type:
        case "digits" | "phone":
            return say.digits(value)
        case "number":
            return say.number(int(value))
        case "date":
            return say.day(date.fromisoformat(value), today, spec.past)
        case "time":
            return say.clock(time.fromisoformat(value))
        case "letters":
            return say.spelled(value)
        case "name" | "text":
            return value
        case _:
            return value.replace("_", " ")

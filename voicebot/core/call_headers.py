"""The `X-` headers that came with a call: what is kept of them, and how a dialplan mentions them. Pure.

An exchange in front of us knows things of a call: `X-Customer-Id: 4711`, `X-Queue: sales`. Whoever can send us an
INVITE can write them, so they are hostile until cleaned, and never proof of anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from voicebot.core.plan import Dialplan

MAX_HEADERS = 32
"""Of one call, the first ones; an exchange that puts its name and history into them has a dozen."""
MAX_NAME, MAX_VALUE = 64, 128
"""Letters. A longer name is none; a longer value is cut."""
NONE: Mapping[str, str] = MappingProxyType({})
_SLOT = re.compile(r"(?<![a-z0-9_])header_x(?:_[a-z0-9]+)+(?![a-z0-9_])")
_LITERAL = str.maketrans({"[": "(", "]": ")", "{": "(", "}": ")", "|": "/", '"': "'"})
"""Letters that mean something in a template, or would end the quotes in which a language model reads a value."""


def name_of(written: str) -> str:
    """`X-Customer_ID` → `x-customer-id`: one name for all that a dialplan cannot tell apart. Empty for one that is no
    `X-` header's."""
    if not re.fullmatch(r"[xX]-[A-Za-z0-9._-]+", written) or len(written) > MAX_NAME:
        return ""
    parts = re.findall(r"[a-z0-9]+", written.lower())
    return "-".join(parts) if len(parts) > 1 else ""


def kept(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Of any headers, in order and as they came: name → value of those that are a call's, cleaned and bounded. One that
    is empty did not come. One that came twice with two values is not kept: a caller's own stands beside the
    exchange's then, and nobody knows which is which."""
    found: dict[str, str] = {}
    for written, text in headers:
        if (name := name_of(written)) and (value := cleaned(text)):
            found[name] = value if found.get(name, value) == value else ""
    return dict([pair for pair in found.items() if pair[1]][:MAX_HEADERS])


def cleaned(text: str) -> str:
    """On one line, of letters that can be seen: no controls, no marks that turn the writing round, no stray bytes."""
    seen = "".join(letter if letter.isprintable() else " " for letter in text[: 8 * MAX_VALUE])
    return " ".join(seen.split())[:MAX_VALUE].rstrip()


# --- in a dialplan -----------------------------------------------------------------------------------------------


def slot_of(name: str) -> str:
    """`x-customer-id` → `header_x_customer_id`."""
    return "header_" + name.replace("-", "_")


def is_slot(name: str) -> bool:
    """Whether a text that names it means a header."""
    return _SLOT.fullmatch(name) is not None


def mentioned(plan: Dialplan) -> tuple[str, ...]:
    """Slots of every header that the dialplan mentions, in a text, a condition or an argument."""
    return tuple(sorted(set(_SLOT.findall(plan.model_dump_json()))))


def values(slots: Iterable[str], headers: Mapping[str, str]) -> dict[str, str]:
    """Slot → value; empty for those that did not come. `headers` are by name, as `kept` gives them."""
    known = {slot_of(name): value for name, value in headers.items()}
    return {slot: known.get(slot, "") for slot in slots}


def spoken(value: str) -> str:
    """A value inside of what is said, or read by a language model: never a template, never the end of a quotation."""
    return value.translate(_LITERAL)

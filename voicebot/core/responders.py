"""Who answers a call: the cascade or a native engine, or, by weight, one or the other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from voicebot.core.dialplan_faults import Fault, Path, did_you_mean
from voicebot.core.plan import Engines

CASCADE, NATIVE = "cascade", "native"


def chosen(engines: Engines, call_id: str) -> str:
    """`cascade`, or the name of a native engine. The same call id always gets the same one, on every machine."""
    responder = engines.responder
    if not isinstance(responder, str):
        weights = {name: weight for name, weight in responder.items() if weight}
        at = int.from_bytes(hashlib.sha256(call_id.encode()).digest()[:8]) % sum(weights.values())
        for name, weight in weights.items():
            responder = name
            at -= weight
            if at < 0:
                break
    return engines.native[0] if responder == NATIVE else str(responder)


def may_be_native(engines: Engines) -> bool:
    """Whether any call is for a native engine."""
    responder = engines.responder
    names = [responder] if isinstance(responder, str) else [name for name, weight in responder.items() if weight]
    return any(name != CASCADE for name in names)


def check_responders(engines: Engines) -> Iterator[Fault]:
    """Names that are none, and weights that choose nobody."""
    known = (CASCADE, NATIVE, *engines.native)
    split = not isinstance(engines.responder, str)
    for name in engines.responder if split else (engines.responder,):
        if name not in known:
            path: Path = ("engines", "responder", str(name)) if split else ("engines", "responder")
            yield Fault(path, f"There is no responder {name!r}.", did_you_mean(str(name), known))
    if not isinstance(engines.responder, str) and not sum(engines.responder.values()):
        yield Fault(("engines", "responder"), "No responder has a weight.", "Give one of them 1 or more.")
    if may_be_native(engines) and not engines.native:
        yield Fault(("engines", "native"), "No native engine is named.", "Write `native: openai_realtime`.")

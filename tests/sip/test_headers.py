"""An exchange's `X-` headers, over real SIP: they choose the dialplan, and the caller hears them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.peers.engines import Ears, Voice
from tests.peers.sip_caller import caller
from tests.service.world import until
from tests.sip.world import needs_pjsua2, sip_service
from voicebot.call import stack
from voicebot.call.runtime import Runtime
from voicebot.core.timeline import decode
from voicebot.engines.base import EngineConfig

pytestmark = needs_pjsua2
FRONT = 'name: front\ntakes: {numbers: "*"}\nstart: a\nnodes: {a: {say: Front desk., do: hang_up}}'
SALES = """
name: sales
takes: {headers: {X-Queue: sales*}}
start: a
nodes: {a: {say: "Sales[, hello {header_x_customer_id}].", do: hang_up}}
"""


def _make(stage: str, name: str, config: EngineConfig) -> Any:
    return {"asr": Ears, "tts": Voice}.get(stage, partial(stack.make, stage, name, config))()


def _said(folder: Path) -> str:
    [timeline] = folder.glob("calls/*/timeline.jsonl")
    return " ".join(r.fields["heard"] for r in decode(timeline.read_bytes().splitlines()) if r.kind == "said")


@pytest.mark.parametrize(
    ("headers", "plan", "said"),
    [
        ((), "front", "Front desk."),
        ((("X-Queue", "support"),), "front", "Front desk."),
        (
            (("x-QUEUE", "sales-oslo"), ("X-Customer-Id", "Ann\r\n Bee {caller}")),
            "sales",
            "Sales, hello Ann Bee (caller).",
        ),
        ((("X-Queue", "sales"), ("X-Customer-Id", "1"), ("X-Customer-Id", "2")), "sales", "Sales."),
    ],
)
async def test_a_header_chooses_the_dialplan_and_is_heard(
    tmp_path: Path, headers: tuple[tuple[str, str], ...], plan: str, said: str
) -> None:
    (folder := tmp_path / "dialplans").mkdir()
    (folder / "front.yaml").write_text(FRONT)
    (folder / "sales.yaml").write_text(SALES)
    given = {"dialplans": folder, "vad": "webrtc", "make": partial(Runtime, make=_make)}
    async with sip_service(tmp_path, **given) as service, caller(service.settings.sip_port) as phone:
        phone.headers = headers
        assert 200 == await phone.invite("anybody")
        await phone.is_asked("BYE")
        await until(lambda: all(end for _, end in service.rows()))
    assert [plan] == [row.dialplan for row in service.store.list()]
    assert said in _said(tmp_path)

"""An exchange's `X-` headers, over real SIP: they choose the dialplan, and the caller hears them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tests.peers.sip_caller import caller
from tests.service.world import until
from tests.sip.world import needs_pjsua2, simple_engine, sip_service
from voicebot.call.runtime import Runtime
from voicebot.core.timeline import decode

pytestmark = needs_pjsua2
FRONT = 'name: front\ntakes: {numbers: "*"}\nstart: a\nnodes: {a: {say: Front desk., do: {hang_up: Bye.}}}'
SALES = """
name: sales
takes: {headers: {X-Queue: sales*}}
start: a
nodes: {a: {say: "Sales[, hello {header_x_customer_id}].", do: {hang_up: Bye.}}}
"""


CALLS: list[tuple[tuple[tuple[str, str], ...], str, str]] = [
    ((), "front", "Front desk."),
    ((("X-Queue", "support"),), "front", "Front desk."),
    ((("x-QUEUE", "sales-oslo"), ("X-Customer-Id", "Ann\r\n Bee {caller}")), "sales", "Sales, hello Ann Bee (caller)."),
    ((("X-Queue", "sales"), ("X-Customer-Id", "1"), ("X-Customer-Id", "2")), "sales", "Sales."),
]


async def test_a_header_chooses_the_dialplan_and_is_heard(tmp_path: Path) -> None:
    (folder := tmp_path / "dialplans").mkdir()
    (folder / "front.yaml").write_text(FRONT)
    (folder / "sales.yaml").write_text(SALES)
    given = {"dialplans": folder, "vad": "webrtc", "make": partial(Runtime, make=simple_engine)}
    async with sip_service(tmp_path, **given) as service, caller(service.settings.sip_port) as phone:
        for phone.headers, _, _ in CALLS:
            assert 200 == await phone.invite("anybody")
            await phone.is_asked("BYE")
            await until(lambda: all(end for _, end in service.rows()))
    rows = sorted(service.store.list(), key=lambda row: row.started_at)
    assert [(plan, True) for _, plan, _ in CALLS] == [
        (row.dialplan, said in _heard(Path(row.folder))) for row, (_, _, said) in zip(rows, CALLS, strict=True)
    ]


def _heard(folder: Path) -> str:
    records = decode((folder / "timeline.jsonl").read_bytes().splitlines())
    return " ".join(each.fields["heard"] for each in records if each.kind == "said")

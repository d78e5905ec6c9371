"""Everything that is hard to read or wrong, sent to a service with a call that is up."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.core.sip_torture import hostile, rfc4475
from tests.peers.sip_caller import HOST, caller
from tests.service.world import until
from tests.sip.world import needs_pjsua2, sip_of, sip_service
from voicebot.carriers.base import Digit

pytestmark = needs_pjsua2


async def test_no_message_harms_the_workers_or_a_call_that_is_up(tmp_path: Path) -> None:
    async with (
        sip_service(tmp_path, max_calls_per_caller=50) as service,
        caller(service.settings.sip_port) as phone,
        caller(service.settings.sip_port) as other,
    ):
        assert 200 == await phone.invite()
        [worker] = sip_of(service).workers
        pid = worker.pid
        for case in [*rfc4475(HOST, other.sip_port), *hostile(HOST, other.sip_port)]:
            other.send(case.data)
            await asyncio.sleep(0.02)
        heard = len(phone.heard)
        await phone.hears(heard / 16000 + 0.3)
        await phone.key("5")
        await until(lambda: [Digit("5")] == service.runtime.got(Digit))
        assert (pid, 0) == (worker.pid, worker.restarts)
        codes = {response.code for response in other.responses} | {int(each.split()[1]) for each in other.strange}
        assert {400, 405, 415, 416, 420, 481, 501, 505} <= codes
        assert 200 == await phone.ask("BYE")

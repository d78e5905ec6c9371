"""A place on a worker goes from one call to the next without a breath between."""

from __future__ import annotations

import os
import signal

from tests.peers.sip_caller import caller
from tests.service.world import until
from tests.sip.world import needs_pjsua2
from voicebot.carriers.sip_process import Worker
from voicebot.carriers.sip_setup import Setup
from voicebot.core.sip_link import Kind, Message, message

pytestmark = needs_pjsua2


async def test_the_end_of_a_call_does_not_hang_up_the_next_that_has_its_place() -> None:
    """PJSIP's object for a call hangs up when it goes, and it knows its call by its place alone."""

    def answer(worker: Worker, told: Message) -> None:
        worker.send(message(Kind.ANSWER, told.call, code=200))

    worker = Worker(Setup(capacity=1).facts, answer, lambda _: None)
    try:
        await until(lambda: worker.ready)
        assert worker.pid
        async with caller(worker.port) as first, caller(worker.port) as second:
            for turn in range(5):
                assert 200 == await first.invite()
                second.call_id, second._remote = f"next{turn}", None
                os.kill(worker.pid, signal.SIGSTOP)  # both come while it sleeps, and are taken in one go
                first.send(first.request("BYE"))
                second.send(second.request("INVITE", body=second.sdp()))
                os.kill(worker.pid, signal.SIGCONT)
                answered = await second.final("INVITE")
                assert 200 == answered.code
                second._remote = answered
                second.send(second.request("ACK"))
                assert 200 == await second.ask("BYE")
                await until(lambda: worker.free == 1)
    finally:
        worker.close()

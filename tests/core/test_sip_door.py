"""The door: what passes, what is answered there, and what has no answer."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from tests.core.sip_torture import SILENCE, Torture, hostile, rfc4475
from tests.core.sip_torture import WORKER as TO_WORKER
from tests.core.test_sip import INVITE
from voicebot.core import sip
from voicebot.core.sip import Address, Request, Response, parse
from voicebot.core.sip_door import LINGER_S, Door, Face, Refusal, Rules, Send
from voicebot.core.sip_limits import networks

OUTSIDE, INSIDE, WORKER = Address("192.0.2.9", 5060), Address("127.0.0.1", 4444), Address("127.0.0.1", 5555)
PHONE, STRANGER = Address("10.0.0.5", 5070), Address("198.51.100.66", 5060)


@dataclass
class World:
    """A door, what it is told to do with calls, and what it asked."""

    decides: Refusal | Address = WORKER
    not_ready: str | None = None
    asked: list[tuple[str, Address]] = field(default_factory=list)
    settled: list[tuple[str, int]] = field(default_factory=list)
    door: Door = field(init=False)

    def __post_init__(self) -> None:
        rules = Rules(networks("10.0.0.0/8"), burst=50, per_second=1, strangers_burst=3, strangers_per_second=0.5)
        self.door = Door(
            OUTSIDE, INSIDE, rules, self.admit, lambda: self.not_ready, lambda *told: self.settled.append(told)
        )

    def admit(self, request: Request, source: Address) -> Refusal | Address:
        self.asked.append((sip.user(request.uri), source))
        return self.decides

    def outside(self, text: str, source: Address = PHONE, now_s: float = 0.0) -> list[Send]:
        return self.door.from_outside(text.encode(), source, now_s)

    def code(self, text: str, source: Address = PHONE) -> int | None:
        """Of the answer that a request has at the door."""
        sends = self.outside(text, source)
        if not sends:
            return None
        [send] = sends
        answer = parse(send.data)
        assert isinstance(answer, Response), send
        assert (Face.OUTSIDE, source) == (send.face, send.to)
        return answer.code


def other(method: str, to_tag: str = "", call_id: str = "c1@10.0.0.5") -> str:
    """Another request of the same phone."""
    text = INVITE.replace("INVITE sip", f"{method} sip").replace("7 INVITE", f"8 {method}").replace("abc", method)
    text = text.replace("c1@10.0.0.5", call_id)
    return text.replace("192.0.2.9>\r\n", f"192.0.2.9>;tag={to_tag}\r\n") if to_tag else text


def passed(sends: list[Send]) -> Request | Response:
    [send] = sends
    message = parse(send.data)
    assert isinstance(message, Request | Response)
    return message


def answered(request: Request, code: int = 200) -> bytes:
    """A worker's answer."""
    return sip.answer(request, code, "w1", [("Contact", "<sip:127.0.0.1:5555>")]).encode()


def admitted(world: World) -> Request:
    """A call is up; what its worker got."""
    invite = passed(world.outside(INVITE))
    assert isinstance(invite, Request)
    world.door.from_inside(answered(invite))
    return invite


# --- a call that is let in


def test_an_invite_goes_to_its_worker_by_way_of_the_door() -> None:
    world = World()
    [send] = world.outside(INVITE)
    assert (Face.INSIDE, WORKER) == (send.face, send.to)
    invite = parse(send.data)
    assert isinstance(invite, Request)
    assert ["127.0.0.1", "10.0.0.5"] == [via.host for via in sip.vias(invite.headers)]
    assert ["<sip:127.0.0.1:4444;lr>", "<sip:192.0.2.9:5060;lr>"] == sip.values(invite.headers, "Record-Route")
    assert ("69", b"v=0\n") == (sip.value(invite.headers, "Max-Forwards"), invite.body)
    assert [("frontdesk", PHONE)] == world.asked


def test_answers_go_back_without_our_hop() -> None:
    world = World()
    invite = passed(world.outside(INVITE))
    assert isinstance(invite, Request)
    [send] = world.door.from_inside(answered(invite))
    answer = parse(send.data)
    assert isinstance(answer, Response)
    assert (Face.OUTSIDE, PHONE) == (send.face, send.to)
    assert ["10.0.0.5"] == [via.host for via in sip.vias(answer.headers)]


def test_it_is_told_when_a_worker_has_answered() -> None:
    world = World()
    admitted(world)
    assert [("c1@10.0.0.5", 200)] == world.settled


def test_an_invite_that_comes_again_is_the_same_to_the_worker_and_is_not_asked_about_again() -> None:
    world = World()
    assert world.outside(INVITE) == world.outside(INVITE)
    assert 1 == len(world.asked)


def test_cancel_finds_the_invite_by_its_branch() -> None:
    world = World()
    invite = passed(world.outside(INVITE))
    cancel = passed(world.outside(INVITE.replace("INVITE sip", "CANCEL sip").replace("7 INVITE", "7 CANCEL")))
    assert sip.vias(invite.headers)[0].param("branch") == sip.vias(cancel.headers)[0].param("branch")


def test_the_rest_of_the_call_goes_to_the_same_worker_without_our_routes() -> None:
    world = World()
    admitted(world)
    routes = "Route: <sip:192.0.2.9:5060;lr>, <sip:127.0.0.1:4444;lr>\r\nX-Account"
    bye = world.outside(other("BYE", "w1").replace("X-Account", routes))
    assert WORKER == bye[0].to
    assert "" == sip.value(passed(bye).headers, "Route")
    assert WORKER == world.outside(other("ACK", "w1"))[0].to


def test_a_workers_request_goes_to_the_phone_and_its_answer_comes_back() -> None:
    world = World()
    admitted(world)
    text = (
        "BYE sip:ann@10.0.0.5:5070 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5555;branch=z9hG4bKw\r\n"
        "Route: <sip:127.0.0.1:4444;lr>\r\nRoute: <sip:192.0.2.9:5060;lr>\r\nMax-Forwards: 70\r\n"
        "From: <sip:frontdesk@192.0.2.9>;tag=w1\r\nTo: <sip:ann@10.0.0.5>;tag=1\r\nCall-ID: c1@10.0.0.5\r\n"
        "CSeq: 100 BYE\r\nContent-Length: 0\r\n\r\n"
    )
    [send] = world.door.from_inside(text.encode())
    assert (Face.OUTSIDE, PHONE) == (send.face, send.to)
    bye = parse(send.data)
    assert isinstance(bye, Request)
    [back] = world.door.from_outside(answered(bye), PHONE, 1.0)
    assert (Face.INSIDE, WORKER) == (back.face, back.to)
    assert ["127.0.0.1"] == [via.host for via in sip.vias(passed([back]).headers)]


def test_a_phone_behind_a_router_is_reached_where_it_came_from() -> None:
    world = World()
    world.door.rules = Rules(networks("0.0.0.0/0"))
    router = Address("203.0.113.4", 40123)
    private = INVITE.replace("10.0.0.5:5070>", "192.168.1.5:5070>")
    world.door.from_outside(private.encode(), router, 0.0)
    text = other("BYE").replace("sip:frontdesk@192.0.2.9 SIP", "sip:ann@192.168.1.5:5070 SIP")
    [send] = world.door.from_inside(text.encode())
    assert router == send.to


def test_an_answer_from_outside_goes_to_workers_only() -> None:
    world = World()
    admitted(world)
    stray = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKx\r\nVia: SIP/2.0/UDP 203.0.113.99:53\r\n"
    stray += "From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: c1@10.0.0.5\r\nCSeq: 1 BYE\r\n\r\n"
    assert [] == world.outside(stray)
    assert 1 == world.door.counts["stray answer"]


# --- refusals


@pytest.mark.parametrize("code", [404, 486, 488, 503])
def test_a_refusal_is_answered_at_the_door_and_once_decided(code: int) -> None:
    world = World(Refusal(code, "why"))
    assert [code, code] == [world.code(INVITE), world.code(INVITE)]
    assert 1 == len(world.asked)
    assert [] == world.outside(other("ACK"))


def test_over_capacity_says_when_to_come_again_and_a_codec_says_which() -> None:
    full = passed(World(Refusal(503, "over capacity")).outside(INVITE))
    assert "10" == sip.value(full.headers, "Retry-After")
    assert "PCMU" in sip.value(passed(World(Refusal(488, "codec")).outside(INVITE)).headers, "Warning")


def test_a_worker_that_refuses_frees_the_calls_place() -> None:
    world = World()
    invite = passed(world.outside(INVITE))
    assert isinstance(invite, Request)
    world.door.from_inside(answered(invite, 488))
    assert [("c1@10.0.0.5", 488)] == world.settled


def test_a_stranger_has_the_same_answer_whatever_it_asks_and_soon_none() -> None:
    world = World()
    asked = [INVITE, other("REGISTER"), other("OPTIONS"), INVITE, INVITE]
    answers = [world.code(each.replace("10.0.0.5:5070;rport", "198.51.100.66:5060"), STRANGER) for each in asked]
    assert [403, 403, 403, None, None] == answers
    assert [] == world.asked
    assert 2 == world.door.counts["rate"]


def test_known_and_unknown_users_look_alike_to_a_stranger() -> None:
    def answer(user: str) -> bytes:
        text = INVITE.replace("10.0.0.5:5070;rport", "198.51.100.66:5060").replace("frontdesk", user)
        return World().outside(text, STRANGER)[0].data.replace(user.encode(), b"frontdesk")

    assert answer("frontdesk") == answer("nobody")


def test_a_flood_from_a_friend_is_met_with_silence_too() -> None:
    world = World()
    assert [200] * 50 + [None] * 5 == [world.code(other("OPTIONS")) for _ in range(55)]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (other("REGISTER"), 405),
        (other("SUBSCRIBE"), 405),
        (other("NEWMETHOD"), 501),
        (other("BYE", "nobody"), 481),
        (other("INVITE", "nobody"), 481),
        (other("CANCEL"), 481),
        (other("OPTIONS").replace("X-Account: 42", "Require: nothing-we-know"), 420),
        (INVITE.replace("Max-Forwards: 70", "Max-Forwards: 0"), 483),
        (other("OPTIONS").replace("Max-Forwards: 70", "Max-Forwards: 0"), 200),
        (INVITE.replace("Max-Forwards: 70", "Max-Forwards: many"), 400),
    ],
)
def test_what_is_no_call_has_its_answer(text: str, code: int) -> None:
    assert code == World().code(text)


def test_options_tell_a_proxy_in_front_whether_calls_can_come() -> None:
    assert [200, 503] == [World().code(other("OPTIONS")), World(not_ready="draining").code(other("OPTIONS"))]


def test_an_ack_of_nobodys_is_dropped() -> None:
    assert [] == World().outside(other("ACK", "x"))


# --- the end


def test_an_ended_call_is_forgotten_after_a_while() -> None:
    world = World()
    admitted(world)
    world.door.ended("c1@10.0.0.5", 100.0)
    world.door.sweep(100.0 + LINGER_S)
    assert WORKER == world.outside(other("BYE", "w1"))[0].to
    world.door.sweep(100.1 + LINGER_S)
    assert 481 == world.code(other("BYE", "w1"))


def test_an_invite_that_tries_again_after_its_call_was_refused_is_decided_afresh() -> None:
    world = World()
    world.outside(INVITE)
    world.door.ended("c1@10.0.0.5", 1.0)
    world.outside(INVITE)  # the same again is only a repetition
    world.outside(INVITE.replace("7 INVITE", "8 INVITE"))
    assert 2 == len(world.asked)
    assert world.door.calls["c1@10.0.0.5"].until_s is None


def test_when_a_worker_dies_its_callers_are_told() -> None:
    world = World()
    admitted(world)
    assert [] == world.door.lost([WORKER], 1.0)
    [send] = world.door.lost([], 1.0)
    bye = parse(send.data)
    assert isinstance(bye, Request)
    assert ("BYE", "sip:ann@10.0.0.5:5070", PHONE) == (bye.method, bye.uri, send.to)
    assert ("w1", "1") == (sip.tag(sip.value(bye.headers, "From")), sip.tag(sip.value(bye.headers, "To")))
    assert [] == world.door.lost([], 1.0)


def test_a_caller_that_was_not_answered_yet_is_refused_when_the_worker_dies() -> None:
    world = World()
    world.outside(INVITE)
    [send] = world.door.lost([], 1.0)
    assert send.data.startswith(b"SIP/2.0 503 ")


# --- torture

RFC4475, HOSTILE = rfc4475(PHONE.host, PHONE.port), hostile(PHONE.host, PHONE.port)


def outcome(case: Torture) -> object:
    """What the door makes of it: a code, on to a worker, or silence."""
    sends = World().door.from_outside(case.data, PHONE, 0.0)
    if not sends:
        return SILENCE
    [send] = sends
    if send.face is Face.INSIDE:
        return TO_WORKER
    assert PHONE == send.to
    return int(send.data.split(b" ", 2)[1])


def test_there_are_as_many_as_the_rfc_has_and_forty_more() -> None:
    assert (49, 40) == (len({case.name for case in RFC4475}), len(HOSTILE))


@pytest.mark.parametrize("case", [*RFC4475, *HOSTILE], ids=lambda case: case.name)
def test_a_torture_message_gets_its_class_of_answer(case: Torture) -> None:
    assert outcome(case) in case.expected

"""The turn machine's rules for a caller who is not there for us: on hold, being put through, or in somebody else's
hands. Part of `core.turns`.

While a transfer rings the call is ours: the caller hears a word now and then, and nobody is on it for ever. Some
telephones hold us and call the other side themselves; they are told nothing then, and asked again when they come back.
"""

from __future__ import annotations

from voicebot.core import events as ev
from voicebot.core.events import MAX_WAIT_MS, Action, State
from voicebot.core.floor import Floor, Table
from voicebot.core.timeline import EndReason

# --- hold


def on_hold(f: Floor, _: ev.PutOnHold) -> list[Action]:
    """From any state in which we talk to the caller."""
    actions = f.close_ear() + (f.abandon_reply() or [ev.DropPlayout()])
    f.digits = ""
    return actions + f.wait_away(f.timing.away_ms)


def _on_still_away(f: Floor, _: ev.Tick) -> list[Action]:
    if f.now >= f.away_until:
        return f.end(EndReason.CALLER_HANGUP)
    return f.wait_away(f.away_until - f.now)


def _on_back(f: Floor, _: ev.TakenBack) -> list[Action]:
    f.voice = False  # whatever that was, it was music
    if f.unreached:
        to, f.unreached = f.unreached, ""
        return f.reply(ev.Input.UNREACHED, to)
    return f.reply(ev.Input.RETURN)


def _on_close_away(f: Floor, event: ev.Close) -> list[Action]:
    return f.end(event.reason)  # nobody would hear a goodbye


# --- transfer


def _on_still_passing(f: Floor, _: ev.Tick) -> list[Action]:
    if f.now >= f.passing_until:
        return f.come_back()
    f.go(State.TRANSFERRING, company=f.timing.company_ms)
    return [] if f.held else [ev.SayFixed("still_trying")]


def _on_held_meanwhile(f: Floor, _: ev.PutOnHold) -> list[Action]:
    f.held = True
    return [ev.DropPlayout()]


def _on_back_meanwhile(f: Floor, _: ev.TakenBack) -> list[Action]:
    f.held = False
    return []


def _on_joined(f: Floor, _: ev.Joined) -> list[Action]:
    f.voice = False  # from now on it is for somebody else
    f.go(State.JOINED, talk=MAX_WAIT_MS)
    return [ev.DropPlayout()]


def _on_still_joined(f: Floor, _: ev.Tick) -> list[Action]:
    f.go(State.JOINED, talk=MAX_WAIT_MS)  # they talk; how long, and whether their lines live, is not for us to say
    return []


def _on_put_through(f: Floor, _: ev.PutThrough) -> list[Action]:
    f.passing = False
    return f.end(EndReason.TRANSFER)


def _on_unreached(f: Floor, _: ev.TransferFailed) -> list[Action]:
    f.passing = False
    return f.come_back()


def _on_close_passing(f: Floor, event: ev.Close) -> list[Action]:
    return f.end(event.reason) if f.held else f.close(event)


def gone(f: Floor, reason: EndReason) -> list[Action]:
    """The caller's line has ended, by a transfer or under one."""
    if reason is EndReason.TRANSFER:  # it has worked, and ends by itself
        f.passing = False
    if f.state is State.JOINED and reason is EndReason.CALLER_HANGUP:
        reason = EndReason.TRANSFER
    return f.end(reason)


TABLE: Table = {
    (State.AWAY, ev.TakenBack): _on_back,
    (State.AWAY, ev.Tick): _on_still_away,
    (State.AWAY, ev.Close): _on_close_away,
    (State.TRANSFERRING, ev.Joined): _on_joined,
    (State.TRANSFERRING, ev.PutThrough): _on_put_through,
    (State.TRANSFERRING, ev.TransferFailed): _on_unreached,
    (State.TRANSFERRING, ev.PutOnHold): _on_held_meanwhile,
    (State.TRANSFERRING, ev.TakenBack): _on_back_meanwhile,
    (State.TRANSFERRING, ev.Tick): _on_still_passing,
    (State.TRANSFERRING, ev.Close): _on_close_passing,
    (State.JOINED, ev.PutThrough): _on_put_through,
    (State.JOINED, ev.TransferFailed): _on_unreached,
    (State.JOINED, ev.PutOnHold): _on_held_meanwhile,
    (State.JOINED, ev.TakenBack): _on_back_meanwhile,
    (State.JOINED, ev.Tick): _on_still_joined,
    (State.JOINED, ev.Close): _on_close_passing,
}

"""A call around the turn machine: a caller with a voice, a ledger, a far end that plays, a clock. It lives through any
list of steps, sane or not, and asserts at every one what must always be true:

1. No dead air: the caller speaks, audio plays, or a deadline of at most 8 s is armed.
2. Every `StartReply` ends exactly once, and so does everything that was prepared.
3. No action is about a stale turn.
4. Nothing happens after the end of the call, and it ends once.
5. What is committed as heard is the beginning of what was generated, and no longer than what was played.
6. Nothing but keys, hold, hang-up and the service itself cuts an uninterruptible notice short.
7. A transfer ends exactly once, before the call is over; until then nobody but it is waited for.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from voicebot.core import events as ev
from voicebot.core.events import MAX_WAIT_MS, BargeIn, State, Timing
from voicebot.core.playout import PER_MS, Ledger
from voicebot.core.timeline import EndReason
from voicebot.core.turns import TurnMachine

Step = tuple[str, int]
OFTEN = "wait wait wait turn voice hush words speech audio done fail tool key pause backwards".split()
SELDOM = "close hold back retime voice hush words speech engine engine yields transfer joined unreached through".split()
TIMINGS = (
    Timing(),
    Timing(barge_in=BargeIn.STRICT),
    Timing(barge_in=BargeIn.KEYWORDS),
    Timing(words_only=True, quick_ms=150, pause_ms=3000),
    Timing(silences=2, strikes=1),
    Timing(eager=False),
)
WORD_MS = 250
MAY_CUT_A_NOTICE = ev.Key | ev.Gone | ev.Close | ev.PutOnHold | ev.Tick | ev.ReplyFailed
_SILENCE = bytes(9000 * PER_MS * 2)


@dataclass
class World:
    """`do` lives through one step; `log` has what the machine was fed, `seen` what it asked for."""

    machine: TurnMachine = field(default_factory=lambda: TurnMachine(Timing()))
    ledger: Ledger = field(default_factory=lambda: Ledger(lead_ms=400, chunk_ms=200))
    now: int = 0
    voice: bool = False
    playing: deque[tuple[int, int, int]] = field(default_factory=deque)
    """At the far end: (when it will have been played, epoch, sample)."""
    drained: bool = True
    open_turns: set[int] = field(default_factory=set)
    generated: defaultdict[int, str] = field(default_factory=lambda: defaultdict(str))
    began: dict[int, int] = field(default_factory=dict)
    """Turn to the position of its first sample."""
    ended: int = 0
    prepared: str | None = None
    passing: bool = False
    """A transfer is on its way."""
    seen: list[ev.Action] = field(default_factory=list)
    log: list[tuple[ev.Event, int]] = field(default_factory=list)

    @property
    def notice(self) -> bool:
        """Whether an uninterruptible notice is what plays, or would play next."""
        return not self.ledger.empty and not self.ledger.interruptible()

    def feed(self, event: ev.Event) -> None:
        if self.ended:
            return
        self.log.append((event, self.now))
        was_notice = self.notice
        for action in self.machine.feed(event, self.now):
            self.act(action, by=event, was_notice=was_notice)

    def act(self, action: ev.Action, by: ev.Event, was_notice: bool) -> None:
        assert not self.ended, "an action after the clean-up"
        self.seen.append(action)
        match action:
            case ev.StartReply(turn, input, text):
                assert not self.open_turns, "a reply begins while another has not ended"
                self.open_turns.add(turn)
                if input is ev.Input.SPOKEN and self.prepared is not None:
                    assert text == self.prepared, "another turn than was prepared"
                    self.prepared = None
                assert self.prepared is None, "what was prepared is neither used nor dropped"
            case ev.Prepare(text):
                assert text
                assert self.prepared is None, "prepared twice"
                self.prepared = text
            case ev.DropPrepared():
                assert self.prepared is not None, "nothing was prepared"
                self.prepared = None
            case ev.CommitHeard(turn):
                self.open_turns.remove(turn)  # KeyError: ended twice, or never begun
                self.committed(turn)
            case ev.CancelReply(turn):
                assert turn in self.open_turns, "a stale turn was cancelled"
            case ev.HoldPlayout():
                assert not was_notice, "a notice was held"
                self.ledger.settle(self.now)
                self.ledger.hold()
                self.playing.clear()
            case ev.ResumePlayout():
                self.ledger.resume()
                self.check_drained()
            case ev.DropPlayout():
                assert not was_notice or isinstance(by, MAY_CUT_A_NOTICE), f"{by} cut a notice short"
                self.ledger.settle(self.now)
                self.ledger.drop()
                self.playing.clear()
                self.drained = True
            case ev.SayFixed():
                self.queue(0, 1500)
            case ev.Transfer(to):
                assert to, "a transfer to nobody"
                assert not self.passing, "two transfers at once"
                assert not self.open_turns, "a transfer while a reply has not ended"
                self.passing = True
            case ev.DropTransfer():
                assert self.passing, "there is no transfer"
                self.passing = False
            case ev.EndCall():
                assert self.prepared is None
                assert not self.passing, "a transfer outlived its call"
                self.ended += 1
            case _:
                pass

    def committed(self, turn: int) -> None:
        heard = self.ledger.heard_text(turn)
        assert self.generated[turn].startswith(heard), "heard what was never generated"
        samples = self.ledger.heard - self.began.get(turn, self.ledger.heard)
        assert len(heard.split()) * WORD_MS * PER_MS <= max(0, samples), "heard more than was played"
        self.ledger.forget(turn)

    # --- sound

    def queue(self, turn: int, ms: int, interruptible: bool = True) -> None:
        words = []
        if turn:
            self.began.setdefault(turn, self.ledger.queued)
            count = len(self.generated[turn].split())
            words = [(n * WORD_MS * PER_MS, f"w{count + n} ") for n in range(ms // WORD_MS)]
            self.generated[turn] += "".join(text for _, text in words)
        self.ledger.queue(turn, _SILENCE[: ms * PER_MS * 2], words, interruptible)
        self.drained = self.drained and ms == 0

    def play(self) -> None:
        """The far end plays what it was sent, and says so."""
        for chunk in self.ledger.due(self.now):
            begins = max(self.now, self.playing[-1][0] if self.playing else 0)
            self.playing.append((begins + len(chunk.pcm) // 2 // PER_MS, chunk.epoch, chunk.sample))
        while self.playing and self.playing[0][0] <= self.now:
            _, epoch, sample = self.playing.popleft()
            if self.ledger.acknowledge(epoch, sample, self.now).pcm:
                self.feed(ev.Playing())
            if self.ended:
                return
        self.check_drained()

    def check_drained(self) -> None:
        if self.ledger.empty and not self.ledger.held and not self.drained:
            self.drained = True
            self.feed(ev.Drained())

    # --- time

    def pass_time(self, ms: int) -> None:
        """Let the clock run as a session does: audio is played, deadlines fall due."""
        until = self.now + ms
        while self.now < until and not self.ended:
            self.now += min(200, until - self.now, max(1, self.machine.deadline() - self.now))
            self.play()
            if self.now >= self.machine.deadline():
                self.feed(ev.Tick())
            self.no_dead_air()

    def no_dead_air(self) -> None:
        if self.ended:
            return
        assert not self.ledger.held or self.machine.state is State.YIELDING, "held for nobody"
        speaking = not self.ledger.empty and not self.ledger.held
        assert self.passing == (self.machine.state in (State.TRANSFERRING, State.JOINED)), "who has the caller?"
        armed = self.machine.deadline() <= self.now + MAX_WAIT_MS
        assert self.voice or speaking or armed, f"dead air in {self.machine.state}"

    # --- steps

    def do(self, what: str, number: int) -> None:
        turn = max(0, self.machine.turn - (number % 7 == 6))  # now and then a stale one
        match what:
            case "wait":
                self.pass_time(number)
            case "voice" if not self.voice:
                self.voice = True
                self.feed(ev.VoiceStarted(may_interrupt=not self.notice))
            case "hush" if self.voice:
                self.voice = False
                self.feed(ev.VoiceStopped(max(0, self.now - number % 300)))
            case "words":
                text = "" if number % 3 == 0 else "some words"
                flags = (number % 2 == 0, number % 5 > 0, number % 4 > 0, number % 3 == 1)
                self.feed(ev.WordsHeard(text, *flags, may_interrupt=not self.notice))
            case "turn":  # as callers do: something said, a pause, now and then more
                for each in ("voice", "wait", "partial", "hush", "final", *(["wait"] if number % 2 else ["voice"])):
                    self.do(each, 100 + number % 600)
            case "partial" | "final":
                self.feed(ev.WordsHeard("some words", what == "final", may_interrupt=not self.notice))
            case "speech":
                self.feed(ev.Speech(number % 1200, not self.notice))
            case "audio" if turn in self.open_turns:
                self.queue(turn, number, interruptible=number % 5 > 0)
                self.feed(ev.ReplyAudio(turn))
            case "done":
                self.feed(ev.ReplyDone(turn, EndReason.BOT_HANGUP if number % 9 == 0 else None))
                self.check_drained()
            case "transfer":  # said, heard, and on its way; what comes of it is for other steps
                self.feed(ev.ReplyDone(turn, EndReason.TRANSFER, "desk"))
                self.check_drained()
            case "joined":
                self.feed(ev.Joined())
            case "unreached" | "through":
                self.passing = False
                self.feed(ev.TransferFailed("busy") if what == "unreached" else ev.PutThrough())
            case "backwards":
                self.machine.feed(ev.Playing(), self.now - number)  # a clock that ran backwards
            case _ if event := self.simple(what, turn, number):
                self.feed(event)
        self.no_dead_air()

    def simple(self, what: str, turn: int, number: int) -> ev.Event | None:
        match what:
            case "pause":
                return ev.TurnMayEnd(number)
            case "hold":
                return ev.PutOnHold()
            case "back":
                return ev.TakenBack()
            case "retime":
                return ev.Retime(TIMINGS[number % len(TIMINGS)])
            case "fail":
                return ev.ReplyFailed(turn, "llm")
            case "tool":
                return ev.ToolStarted(turn)
            case "engine":
                return ev.EngineSpeaks()
            case "yields":
                return ev.EngineYields(may_interrupt=not self.notice)
            case "key":
                return ev.Key(str(number % 10), number % 2 == 0)
            case "close":
                return ev.Close(EndReason.DRAINED, "goodbye")
            case _:
                return None


def live(steps: Iterable[Step]) -> World:
    """A whole life, from the answer on; the call may be up still."""
    world, steps = World(), list(steps)
    world.feed(ev.Answered("operator" if len(steps) % 2 else "", "desk" if len(steps) % 5 == 0 else ""))
    for what, number in steps:
        world.do(what, number)
    return world

"""The playout ledger: what was queued, sent and heard."""

from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from voicebot.core.playout import LATE_MARK_MS, LOST_MARK_MS, Ledger, align


def ramp(samples: int, start: int = 0) -> bytes:
    """PCM whose every sample tells its own position."""
    return struct.pack(f"<{samples}h", *((start + i) % 30000 for i in range(samples)))


def play(ledger: Ledger, now_ms: float) -> bytes:
    """Send what is due and let the far end play all of it."""
    return b"".join(ledger.acknowledge(c.epoch, c.sample, now_ms).pcm for c in ledger.due(now_ms))


class TestPacing:
    def test_only_about_the_lead_is_sent_ahead(self) -> None:
        ledger = Ledger(lead_ms=200, chunk_ms=80)
        ledger.queue(1, bytes(16000 * 2))

        assert [c.sample for c in ledger.due(0)] == [640, 1280, 1920]
        assert ledger.due(30) == []
        assert [c.sample for c in ledger.due(50)] == [2560]

    def test_a_stall_is_made_good_at_once(self) -> None:
        ledger = Ledger(lead_ms=200, chunk_ms=80)
        ledger.queue(1, bytes(16000 * 2))
        ledger.due(0)

        assert len(ledger.due(1000)) == 3


class TestHearing:
    def test_a_mark_moves_the_heard_watermark_and_yields_its_audio(self) -> None:
        ledger = Ledger()
        ledger.queue(1, ramp(1000))
        ledger.due(0)

        heard = ledger.acknowledge(0, 640, 0)

        assert ramp(640) == heard.pcm
        assert heard.turns == (1,)

    def test_marks_of_a_cleared_epoch_mean_dropped(self) -> None:
        ledger = Ledger()
        ledger.queue(1, ramp(1000))
        ledger.due(0)
        ledger.hold()

        assert ledger.acknowledge(0, 1000, 0).pcm == b""
        assert ledger.heard == 0

    def test_a_mark_that_never_comes_back_is_given_up_after_a_second(self) -> None:
        ledger = Ledger()
        ledger.queue(1, ramp(800))
        ledger.due(0)

        assert ledger.overdue(100 + LOST_MARK_MS).pcm == b""
        assert ramp(800) == ledger.overdue(101 + LOST_MARK_MS).pcm
        assert ledger.lost_marks == 1

    def test_where_marks_come_in_time_one_is_sooner_given_up(self) -> None:
        ledger = Ledger()
        ledger.queue(1, ramp(1600))
        ledger.due(0)
        ledger.acknowledge(0, 640, 100)  # 20 ms after it was played, as is usual here

        assert ledger.overdue(200 + 20 + LATE_MARK_MS).pcm == b""
        assert ramp(960, start=640) == ledger.overdue(201 + 20 + LATE_MARK_MS).pcm

    def test_resuming_goes_on_from_the_sample_heard_last(self) -> None:
        ledger = Ledger()
        ledger.queue(1, ramp(4000))
        ledger.due(0)
        ledger.acknowledge(0, 640, 0)
        ledger.hold()
        ledger.resume()

        assert ramp(640, start=640) == ledger.due(500)[0].pcm


class TestSettling:
    """Between two marks the schedule tells where playout is."""

    def playing(self, there_ms: float, back_ms: float, until_ms: int) -> tuple[Ledger, int]:
        """A ledger that has sent for `until_ms` to a far end that plays what comes after `there_ms` and whose marks
        come back after `back_ms`; with it the samples that a `clear` sent now finds played."""
        ledger = Ledger()
        ledger.queue(1, ramp(16000))
        marks: list[tuple[float, int]] = []
        for now in range(0, until_ms + 1, 20):
            for chunk in ledger.due(now):
                marks.append((there_ms + chunk.sample / 8 + back_ms, chunk.sample))
            for _, sample in [mark for mark in marks if mark[0] <= now]:
                ledger.acknowledge(0, sample, now)
            marks = [mark for mark in marks if mark[0] > now]
        return ledger, until_ms * 8

    @given(st.integers(0, 150), st.integers(0, 150), st.integers(500, 1500))
    def test_it_is_found_to_a_few_frames_and_never_ahead(self, there_ms: int, back_ms: int, until_ms: int) -> None:
        until_ms -= until_ms % 20
        ledger, played = self.playing(there_ms, back_ms, until_ms)

        ledger.settle(until_ms)

        assert 0 <= played - ledger.heard <= 45 * 8

    def test_a_network_that_stalls_moves_it_back(self) -> None:
        ledger, _ = self.playing(20, 20, 600)
        before = ledger.heard

        ledger.settle(1000)  # no mark for 400 ms, though the far end had audio for 200

        assert before <= ledger.heard <= before + 80 * 8

    def test_before_the_first_mark_nothing_is_known(self) -> None:
        ledger = Ledger()
        ledger.queue(1, ramp(1000))
        ledger.due(0)

        assert ledger.settle(100).pcm == b""


class TestHeardText:
    def queued(self) -> Ledger:
        ledger = Ledger(lead_ms=10_000)
        ledger.queue(1, ramp(3000), [(0, "Your "), (1000, "table "), (2000, "is ready.")])
        ledger.due(0)
        return ledger

    def test_a_word_is_heard_when_the_next_one_begins(self) -> None:
        ledger = self.queued()
        ledger.acknowledge(0, 2000, 0)

        assert ledger.heard_text(1) == "Your table"

    def test_a_word_cut_in_half_was_not_heard(self) -> None:
        ledger = self.queued()
        ledger.acknowledge(0, 2500, 0)
        ledger.hold()
        ledger.drop()

        assert ledger.heard_text(1) == "Your table"

    def test_all_of_it_when_all_was_played(self) -> None:
        ledger = self.queued()
        ledger.acknowledge(0, 3000, 0)

        assert ledger.heard_text(1) == "Your table is ready."

    def test_words_without_times_are_spread_by_length(self) -> None:
        assert align("one three", 1000) == [(0, "one "), (400, "three ")]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["queue", "send", "play", "stale", "settle", "hold", "resume", "drop"]),
            st.integers(1, 3000),
        ),
        max_size=60,
    )
)
@settings(max_examples=300, deadline=None)
def test_the_caller_hears_a_gapless_prefix_and_the_text_never_runs_ahead(steps: list[tuple[str, int]]) -> None:
    ledger, now, sent = Ledger(), 0.0, []
    generated: list[str] = []
    starts: list[int] = []
    heard = bytearray()
    for what, number in steps:
        now += number % 400
        match what:
            case "queue":
                starts.append(ledger.queued)
                generated.append(f"w{len(generated)} ")
                ledger.queue(1, ramp(number, ledger.queued), [(0, generated[-1])])
            case "send":
                sent += ledger.due(now)
            case "play" | "stale" if sent:
                chunk = sent.pop(0)
                heard += ledger.acknowledge(chunk.epoch, chunk.sample, now).pcm
            case "settle":
                heard += ledger.settle(now).pcm
            case "hold":
                ledger.hold()
            case "resume":
                ledger.resume()
            case "drop":
                ledger.drop()
                generated = generated[: ledger.heard_text(1).count("w")]
                starts = starts[: len(generated)]
        assert ledger.heard <= ledger.sent <= ledger.queued
        assert len(heard) == ledger.heard * 2
        text = ledger.heard_text(1)
        assert "".join(generated).startswith(text)
        assert all(start < ledger.heard for start in starts[: text.count("w")])

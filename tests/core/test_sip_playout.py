"""What was taken is what was played, to the sample."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voicebot.core.sip_link import Say
from voicebot.core.sip_playout import BUFFER_SAMPLES, Playout

CHUNKS = st.lists(st.integers(1, 900), min_size=1, max_size=20)


def says(sizes: list[int], epoch: int = 0) -> list[Say]:
    """Chunks of so many samples, each sample another."""
    sample, found = 0, []
    for size in sizes:
        pcm = b"".join((sample + n).to_bytes(2, "little") for n in range(size))
        sample += size
        found.append(Say(epoch, sample, pcm))
    return found


@given(CHUNKS)
def test_all_that_was_put_is_taken_in_order_and_the_position_says_how_far(sizes: list[int]) -> None:
    playout, taken = Playout(), b""
    for say in says(sizes):
        playout.put(say)
    while part := playout.take(320):
        taken += part
        assert len(taken) // 2 == playout.sample
    assert b"".join(say.pcm for say in says(sizes)) == taken


@given(CHUNKS, st.integers(0, 30))
def test_after_clear_nothing_old_is_played_and_the_position_stands(sizes: list[int], frames: int) -> None:
    playout = Playout()
    for say in says(sizes):
        playout.put(say)
    for _ in range(frames):
        playout.take(320)
    before = (playout.epoch, playout.sample)
    playout.clear()
    assert b"" == playout.take(320)
    assert before == (playout.epoch, playout.sample)
    playout.put(Say(1, 2, b"abcd"))
    assert (b"abcd", 1, 2) == (playout.take(320), playout.epoch, playout.sample)


def test_what_gathers_is_bounded_and_the_oldest_goes() -> None:
    playout = Playout()
    second = bytes(16000)
    for number in range(BUFFER_SAMPLES // 8000 + 5):
        playout.put(Say(0, (number + 1) * 8000, second))
    playout.take(320)
    assert 5 * 8000 + 160 == playout.sample

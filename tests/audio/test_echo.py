"""Our own echo, told from the caller's voice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.audio.echo_sounds import Sound, between, line, pcm, room, verdicts, voice
from voicebot.audio.echo import CALLER, EchoGuard, Verdict
from voicebot.audio.frames import FRAME_BYTES, FRAME_SAMPLES, RATE

BOT, CALLER_VOICE = voice(1), voice(2, 1.0)
DELAY_S = 0.15


def call(near: Sound, *bots: tuple[float, Sound]) -> list[Verdict]:
    """The verdicts of a call in which the bot is told, a little ahead, to say these, from these seconds on."""
    guard, line_pcm, found, heard = EchoGuard(), pcm(near), [], 0
    for start, bot in bots:
        until = max(0, int((start - 0.2) * RATE) // FRAME_SAMPLES * FRAME_BYTES)
        found += verdicts(guard, line_pcm[heard:until], heard // 2)
        heard = until
        guard.played(pcm(bot), int(start * RATE))
    return found + verdicts(guard, line_pcm[heard:], heard // 2)


def share_own(found: list[Verdict]) -> float:
    return sum(verdict.own for verdict in found) / len(found)


# --- stories ---------------------------------------------------------------------------------------------------


def test_our_echo_is_known_within_a_quarter_second_and_never_called_the_callers() -> None:
    found = call(line((0.5 + DELAY_S, room(BOT)), seconds=3), (0.5, BOT))
    heard = between(found, 0.5 + DELAY_S, 2.4)

    assert not any(verdict.sure and not verdict.own for verdict in heard[2:])
    assert any(verdict.own for verdict in heard[:13])
    assert share_own(heard[13:]) > 0.95


def test_its_delay_and_level_are_found() -> None:
    last = between(call(line((0.5 + DELAY_S, room(BOT, -12)), seconds=3), (0.5, BOT)), 2.0, 2.3)[-1]

    assert last.delay_ms is not None
    assert abs(last.delay_ms - 1000 * DELAY_S) <= 2
    assert abs(last.echo_db + 12) < 4
    assert last.left_db < -8


@pytest.mark.parametrize("over_db", [12, 6, 3])
def test_a_caller_who_begins_inside_the_echo_is_found(over_db: int) -> None:
    caller = CALLER_VOICE * 10 ** ((-12 + over_db) / 20)
    near = line((0.5 + DELAY_S, room(BOT)), (1.6, caller), seconds=3)
    found = call(near, (0.5, BOT))

    assert share_own(between(found, 1.2, 1.6)) > 0.9
    assert share_own(between(found, 1.7, 2.2)) < 0.3


def test_the_next_sentence_is_known_at_once() -> None:
    near = line((0.5 + DELAY_S, room(BOT)), (3.5 + DELAY_S, room(voice(3))), seconds=6)
    found = call(near, (0.5, BOT), (3.5, voice(3)))

    assert share_own(between(found, 3.5 + DELAY_S + 0.1, 5.0)) > 0.95


@pytest.mark.parametrize("wrong_s", [-0.1, 0.1])
def test_a_sentence_that_was_placed_wrong_is_known_all_the_same(wrong_s: float) -> None:
    near = line((0.5 + DELAY_S, room(BOT)), (3.5 + DELAY_S, room(voice(3))), seconds=6)
    found = call(near, (0.5, BOT), (3.5 + wrong_s, voice(3)))
    heard = between(found, 3.5 + DELAY_S, 5.4)

    assert not any(verdict.sure and not verdict.own for verdict in heard[2:13])
    assert share_own(heard[15:]) > 0.9


def test_a_caller_on_a_line_without_echo_is_the_caller_and_soon_surely() -> None:
    found = call(line((1.0, CALLER_VOICE), seconds=3), (0.5, BOT))

    assert not any(verdict.own for verdict in found)
    assert any(verdict.sure for verdict in between(found, 1.0, 1.25))


def test_while_the_bot_is_silent_nothing_is_looked_for_and_every_voice_is_the_callers() -> None:
    guard = EchoGuard()
    found = verdicts(guard, pcm(line((0.2, CALLER_VOICE), seconds=2)))

    assert {CALLER} == set(found)
    assert 0 == guard.searches

    guard.played(pcm(BOT), 2 * RATE)
    after = verdicts(guard, pcm(line((3.2, CALLER_VOICE), seconds=5)), 2 * RATE)
    assert {CALLER} == set(between(after, 3.1, 5))


def test_silence_that_is_played_is_no_far_end() -> None:
    guard = EchoGuard()
    guard.played(bytes(RATE * 4), 0)

    assert {CALLER} == set(verdicts(guard, pcm(line((0.2, CALLER_VOICE), seconds=2))))


def test_an_echo_of_which_nobody_told_us_is_taken_for_the_caller() -> None:
    assert not any(verdict.own for verdict in call(line((0.5, room(BOT)), seconds=3)))


def test_what_is_told_too_late_explains_nothing_that_was_heard_before() -> None:
    guard = EchoGuard()
    near = pcm(line((0.5 + DELAY_S, room(BOT)), seconds=3))
    before = verdicts(guard, near[: 2 * RATE])
    guard.played(pcm(BOT), RATE // 2)
    after = verdicts(guard, near[2 * RATE :], RATE)

    assert {CALLER} == set(before)
    assert share_own(between(after, 0.5, 1.4)) > 0.9


def test_what_was_cleared_is_not_expected_back() -> None:
    guard = EchoGuard()
    guard.played(pcm(BOT), RATE // 2)
    guard.silenced(RATE)
    near = line((0.5 + DELAY_S, room(BOT)[: RATE // 2]), (2.2, CALLER_VOICE), seconds=3.5)

    assert {CALLER} == set(between(verdicts(guard, pcm(near)), 2.2, 3.2))


def test_a_long_call_forgets_what_was_played_and_goes_on() -> None:
    guard = EchoGuard()
    quiet = pcm(line(seconds=60))
    verdicts(guard, quiet)
    guard.played(pcm(BOT), 60 * RATE + RATE // 2)
    found = verdicts(guard, pcm(line((0.5 + DELAY_S, room(BOT)), seconds=3)), 60 * RATE)

    assert share_own(between(found, 1.0, 2.4)) > 0.95


# --- properties --------------------------------------------------------------------------------------------------

NEAR = pcm(line((0.3 + DELAY_S, room(BOT)), (1.5, CALLER_VOICE * 0.3), seconds=2.2))


def fed(sizes: list[int], told: int = 640) -> list[Verdict]:
    """The call of `NEAR` in pieces of these sizes, in samples, round and round; the bot told in pieces of `told`."""
    guard, at, found, turn = EchoGuard(), 0, [], 0
    bot = pcm(BOT)
    for start in range(0, len(bot), told * 2):
        guard.played(bot[start : start + told * 2], int(0.3 * RATE) + start // 2)
    while at < len(NEAR) // 2:
        size = sizes[turn % len(sizes)]
        found.append(guard.heard(NEAR[at * 2 : (at + size) * 2], at))
        at, turn = at + size, turn + 1
    return found


@settings(max_examples=15, deadline=None)
@given(sizes=st.lists(st.sampled_from([80, 160, 240, 400, 800]), min_size=1, max_size=4), told=st.integers(100, 20000))
def test_the_verdict_does_not_depend_on_the_pieces_that_audio_comes_in(sizes: list[int], told: int) -> None:
    whole = fed([160])[-1]
    assert whole == fed(sizes, told)[-1]


@settings(max_examples=10, deadline=None)
@given(near_db=st.floats(-12, 6), far_db=st.floats(-12, 6))
def test_an_echo_is_one_however_loud_both_sides_are(near_db: float, far_db: float) -> None:
    near = line((0.5 + DELAY_S, room(BOT) * 10 ** (near_db / 20)), seconds=2.4)
    found = call(near, (0.5, BOT * 10 ** (far_db / 20)))
    assert share_own(between(found, 1.0, 2.3)) > 0.9


def test_a_callers_voice_is_hardly_ever_called_echo_where_there_is_none() -> None:
    """Of ten thousand such voices six were, for a moment."""
    chance, called = np.random.default_rng(1), 0
    for _ in range(400):
        caller = voice(int(chance.integers(10, 10**6)), 1.0) * 10 ** (chance.uniform(-30, 0) / 20)
        verdicts = call(line((chance.uniform(0.2, 1.5), caller), seconds=2.5), (0.3, BOT))
        called += any(verdict.own for verdict in verdicts)
    assert called <= 2


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["played", "heard", "silenced"]), st.binary(max_size=2000), st.integers(-(10**5), 10**7)
        ),
        max_size=30,
    )
)
def test_no_order_of_telling_breaks_it(told: list[tuple[str, bytes, int]]) -> None:
    guard = EchoGuard()
    for kind, data, at in told:
        match kind:
            case "played":
                guard.played(data, at)
            case "heard":
                assert not guard.heard(data[: len(data) // 2 * 2], at).own
            case _:
                guard.silenced(at)


def test_noise_and_tones_on_both_sides_are_no_echo() -> None:
    chance = np.random.default_rng(4)
    hum = np.sin(2 * np.pi * 100 * np.arange(2 * RATE) / RATE) * 0.1
    hiss = chance.standard_normal(2 * RATE) * 0.05
    found = call(line((0.4, chance.standard_normal(2 * RATE) * 0.05), seconds=2.6), (0.3, hiss + hum))

    assert not any(verdict.own for verdict in found)

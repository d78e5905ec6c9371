"""Calls out of packet captures, against conversations written down packet by packet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.replay.inputs.captures import BOT, CALLER, Conversation, pcap, pcapng, sdp, sip, udp
from voicebot.audio import g711
from voicebot.replay.inputs.load import load
from voicebot.replay.recording import CallAudio
from voicebot.replay.verdict import Side


def voice(seconds: float, seed: int = 1) -> np.ndarray:
    """Something that is neither silence nor noise: a wandering hum."""
    at = np.arange(int(seconds * 8000)) / 8000
    chance = np.random.default_rng(seed).uniform(0.5, 2.0, 3)
    return (4000 * np.sin(2 * np.pi * 180 * at) * (1 + np.sin(2 * np.pi * chance[0] * at)) / 2).astype(np.int16)


def through(samples: np.ndarray, law: str = "u") -> np.ndarray:
    there, back = (g711.ulaw_encode, g711.ulaw_decode) if law == "u" else (g711.alaw_encode, g711.alaw_decode)
    return np.frombuffer(back(there(samples.astype("<i2").tobytes())), "<i2")


def quality(call: CallAudio, side: Side) -> object:
    return dict(call.media)[side]


def test_both_sides_are_decoded_to_the_sample_and_lie_on_one_clock(tmp_path: Path) -> None:
    talk, mine, theirs = Conversation(), voice(1.0), voice(2.0, 2)
    talk.invite()
    talk.speak(theirs, 0.2, bot=True)
    talk.speak(mine, 1.0)
    [call] = load(talk.write(tmp_path / "talk.pcap"))
    assert "by the SIP dialogue" == call.source.sides
    assert call.caller is not None
    assert call.bot is not None
    assert np.array_equal(through(theirs), call.bot[: len(theirs)])
    assert np.array_equal(through(mine), call.caller[6400 : 6400 + len(mine)])


def test_who_sent_the_invite_is_the_caller_in_a_law_too(tmp_path: Path) -> None:
    talk, mine = Conversation(), voice(1.0)
    talk.invite(media="m=audio {} RTP/AVP 8")
    talk.speak(mine, kind=8)
    [call] = load(talk.write(tmp_path / "talk.pcap"))
    assert call.bot is None
    assert call.caller is not None
    assert np.array_equal(through(mine, "a"), call.caller)


def test_pcapng_of_both_byte_orders_reads_the_same(tmp_path: Path) -> None:
    talk = Conversation()
    talk.invite()
    talk.speak(voice(0.5))
    [little] = load(pcapng(tmp_path / "little.pcapng", talk.packets))
    [big] = load(pcapng(tmp_path / "big.pcapng", talk.packets, ">"))
    assert little.caller is not None
    assert np.array_equal(little.caller, big.caller if big.caller is not None else 0)
    assert 500 == little.duration_ms


def test_several_calls_in_a_capture_are_several_calls(tmp_path: Path) -> None:
    talk = Conversation()
    for number in range(3):
        talk.invite(number * 5.0, f"call{number}", port=4000 + number * 2)
        talk.speak(voice(0.4 + number / 10), number * 5.0 + 0.2, port=4000 + number * 2, ssrc=50 + number)
        talk.bye(number * 5.0 + 3, f"call{number}")
    calls = load(talk.write(tmp_path / "three.pcap"))
    assert ["three-1", "three-2", "three-3"] == [call.name for call in calls]
    assert [400, 500, 600] == [call.duration_ms for call in calls]


def test_addresses_that_are_used_again_belong_to_the_call_of_their_time(tmp_path: Path) -> None:
    talk = Conversation()
    for number in range(2):
        talk.invite(number * 10.0, f"call{number}")
        talk.speak(voice(0.5), number * 10.0 + 0.2, ssrc=50 + number)
        talk.bye(number * 10.0 + 1, f"call{number}")
    assert [500, 500] == [call.duration_ms for call in load(talk.write(tmp_path / "two.pcap"))]


def test_loss_lateness_order_and_concealment_are_counted_as_captured(tmp_path: Path) -> None:
    talk = Conversation()
    talk.invite()
    talk.speak(voice(2.0), lost=(10, 11, 40), delay_s={20: 0.1, 60: 0.021})
    [call] = load(talk.write(tmp_path / "bad.pcap"))
    media = dict(call.media)["caller"]
    assert (97, 3, 1, 2) == (media.packets, media.lost, media.late, media.reordered)
    assert 80 == media.concealed_ms  # three that never came, one too late for a buffer of 60 ms
    assert call.caller is not None
    assert not call.caller[1600:1920].any()


def test_silence_that_was_not_sent_is_no_loss(tmp_path: Path) -> None:
    talk = Conversation()
    talk.invite()
    talk.speak(voice(0.5), 0.2)
    before = len(talk.packets)
    talk.speak(voice(2.5), 0.2)
    talk.packets[before:] = [p for p in talk.packets[before:] if p[0] >= 2.2]
    renumbered = []
    for number, (at_s, frame) in enumerate(talk.packets[before:], 25):  # the count goes on, the clock has jumped
        renumbered.append((at_s, frame[:44] + number.to_bytes(2, "big") + frame[46:]))
    talk.packets[before:] = renumbered
    [call] = load(talk.write(tmp_path / "dtx.pcap"))
    media = dict(call.media)["caller"]
    assert (0, 0, 0) == (media.lost, media.late, media.concealed_ms)
    assert 2500 == call.duration_ms


def test_jitter_is_rfc_3550s(tmp_path: Path) -> None:
    talk = Conversation()
    talk.invite()
    talk.speak(voice(4.0), delay_s=dict.fromkeys(range(0, 200, 2), 0.016))
    [call] = load(talk.write(tmp_path / "jitter.pcap"))
    assert 15.9 <= dict(call.media)["caller"].jitter_ms <= 16.0  # |D| is 16 ms each time


def test_keys_come_once_each_with_their_time(tmp_path: Path) -> None:
    talk = Conversation()
    talk.invite()
    talk.speak(voice(1.0))
    talk.press(5, 1.2, 8000, start=50)
    talk.press(11, 1.6, 11200, start=57)
    [call] = load(talk.write(tmp_path / "keys.pcap"))
    assert [("5", 1000, 1100), ("#", 1400, 1500)] == [(each.text, each.start_ms, each.end_ms) for each in call.events]


def test_keys_by_sip_info_count_too(tmp_path: Path) -> None:
    talk = Conversation()
    talk.invite()
    talk.speak(voice(1.0))
    message = sip("INFO sip:b@x SIP/2.0", body="Signal=7\r\nDuration=160\r\n", sequence="2 INFO")
    talk.packets.append((0.7, udp(CALLER, 5060, BOT, 5060, message)))
    [call] = load(talk.write(tmp_path / "info.pcap"))
    assert [("7", "caller", 500)] == [(each.text, each.side, each.start_ms) for each in call.events]


def test_media_without_sip_are_a_call_whose_sides_are_found(tmp_path: Path) -> None:
    talk = Conversation()
    talk.speak(voice(1.0), 2.0)
    talk.speak(voice(3.0), 0.2, bot=True)
    [call] = load(talk.write(tmp_path / "alone.pcap"))
    assert call.source.sides.startswith("found")
    assert call.bot is not None
    assert 3000 == len(call.bot) // 8


def test_the_second_leg_of_a_proxy_is_left_out(tmp_path: Path) -> None:
    talk = Conversation()
    talk.invite()
    talk.speak(voice(1.0))
    for at_s, frame in [p for p in talk.packets if len(p[1]) == 214]:
        talk.packets.append((at_s + 0.001, udp("10.0.0.8", 7000, "10.0.0.9", 7002, frame[42:])))
    assert 1 == len(load(talk.write(tmp_path / "proxy.pcap")))


def test_an_invite_in_two_fragments_is_read(tmp_path: Path) -> None:
    talk = Conversation()
    talk.invite()
    talk.speak(voice(0.5))
    at_s, frame = talk.packets[0]
    head, body = frame[:34], frame[34:]
    pieces = []
    for offset, more, data in ((0, True, body[:200]), (200, False, body[200:])):
        flags = (offset // 8 | (0x2000 if more else 0)).to_bytes(2, "big")
        pieces.append((at_s, head[:16] + (20 + len(data)).to_bytes(2, "big") + head[18:20] + flags + head[22:] + data))
    talk.packets[:1] = pieces
    [call] = load(talk.write(tmp_path / "cut.pcap"))
    assert "by the SIP dialogue" == call.source.sides
    assert call.bot is None


def test_a_capture_that_breaks_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    talk = Conversation()
    talk.invite()
    talk.speak(voice(1.0))
    path = talk.write(tmp_path / "cut.pcap")
    path.write_bytes(path.read_bytes()[:-100])
    [call] = load(path)
    assert 980 == call.duration_ms
    assert ("The capture breaks off in the middle of a packet.",) == call.source.notes


def test_video_beside_the_voice_is_left_out_and_said(tmp_path: Path) -> None:
    talk = Conversation()
    talk.invite(media="m=video 9000 RTP/AVP 34\r\nm=audio {} RTP/AVP 0")
    talk.speak(voice(0.5))
    [call] = load(talk.write(tmp_path / "video.pcap"))
    assert "The call had video, which is left out." in call.source.notes


@pytest.mark.parametrize("link", [101, 113, 276, 0])
def test_captures_of_other_links_are_read(link: int, tmp_path: Path) -> None:
    talk = Conversation()
    talk.invite()
    talk.speak(voice(0.3))
    head = {101: b"", 113: bytes(14) + b"\x08\x00", 276: b"\x08\x00" + bytes(18), 0: b"\x02\0\0\0"}[link]
    packets = [(at_s, head + frame[14:]) for at_s, frame in talk.packets]
    [call] = load(pcap(tmp_path / "any.pcap", packets, link))
    assert 300 == call.duration_ms


def test_sdp_of_the_ack_counts_when_the_offer_came_late(tmp_path: Path) -> None:
    talk = Conversation()
    for at_s, source, target, first, sequence, body in (
        (0.0, CALLER, BOT, "INVITE sip:b@x SIP/2.0", "1 INVITE", ""),
        (0.1, BOT, CALLER, "SIP/2.0 200 OK", "1 INVITE", sdp(BOT, "m=audio 5000 RTP/AVP 0")),
        (0.2, CALLER, BOT, "ACK sip:b@x SIP/2.0", "1 ACK", sdp(CALLER, "m=audio 4000 RTP/AVP 0")),
    ):
        talk.packets.append((at_s, udp(source, 5060, target, 5060, sip(first, body=body, sequence=sequence))))
    talk.speak(voice(0.5), bot=True)
    [call] = load(talk.write(tmp_path / "late.pcap"))
    assert call.caller is None
    assert 500 == call.duration_ms


def test_a_packet_with_a_damaged_time_costs_that_packet(tmp_path: Path) -> None:
    talk = Conversation()
    talk.invite()
    talk.speak(voice(1.0), delay_s={20: 9000.0})
    [call] = load(talk.write(tmp_path / "late.pcap"))
    assert 1000 == call.duration_ms

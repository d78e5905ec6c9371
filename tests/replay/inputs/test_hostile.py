"""Files that are no recording of a call, or a damaged one: each ends in one clear sentence, and none in a traceback."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.replay.inputs.captures import BOT, CALLER, Conversation, block, pcap, sdp, sip, udp
from voicebot.call.recorder import header
from voicebot.errors import UsageError
from voicebot.replay.inputs import load as loading
from voicebot.replay.inputs.load import Told, load

Make = Callable[[Path], object]
"""Writes the file at a path."""
SOUND = (1000 * np.sin(np.arange(8000) / 3)).astype(np.int16)


def bytes_of(data: bytes) -> Make:
    return lambda path: path.write_bytes(data)


def wav(codec: int = 1, channels: int = 1, rate: int = 8000, data: bytes = b"\0\0" * 800, bits: int = 16) -> bytes:
    fmt = struct.pack(
        "<HHIIHH", codec, channels, rate, rate * channels * bits // 8 & 0xFFFFFFFF, channels * bits // 8, bits
    )
    body = b"WAVEfmt " + struct.pack("<I", 16) + fmt + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def flac(cut: slice) -> Make:
    def make(path: Path) -> None:
        soundfile.write(path, SOUND, 8000, format="FLAC", subtype="PCM_16")
        path.write_bytes(path.read_bytes()[cut])

    return make


def captured(*messages: tuple[str, str, str]) -> Make:
    """A capture with SIP alone: (first line, who sends it, SDP)."""

    def make(path: Path) -> None:
        packets = []
        for number, (first, host, body) in enumerate(messages):
            other = BOT if host == CALLER else CALLER
            packets.append((float(number), udp(host, 5060, other, 5060, sip(first, body=body))))
        pcap(path, packets)

    return make


def spoken(payload: Callable[[bytes], bytes] = bytes, kind: int = 0, media: str = "m=audio {} RTP/AVP 0 101") -> Make:
    """A call whose packets' payload is changed, or of another kind."""

    def make(path: Path) -> None:
        talk = Conversation()
        talk.invite(media=media)
        count = len(talk.packets)
        talk.speak(np.tile(SOUND, 3), kind=kind)
        talk.packets[count:] = [
            (at_s, udp(CALLER, 4000, BOT, 5000, frame[42:54] + payload(frame[54:])))
            for at_s, frame in talk.packets[count:]
        ]
        talk.write(path)

    return make


def zrtp(path: Path) -> None:
    spoken()(path)
    hello = b"\x10\x00\x00\x01ZRTP" + bytes(32)
    path.write_bytes(
        path.read_bytes() + pcap(path.with_suffix(".x"), [(9.0, udp(CALLER, 4000, BOT, 5000, hello))]).read_bytes()[24:]
    )


def keys_only(path: Path) -> None:
    talk = Conversation()
    talk.invite()
    for number in range(4):
        talk.press(number, 1.0 + number, 8000 * number, start=10 * number)
    talk.write(path)


def ages_apart(path: Path) -> None:
    talk = Conversation()
    talk.invite()
    talk.speak(SOUND[:1600])
    talk.speak(SOUND[:1600], at_s=9e8)
    talk.write(path)


def recorded(audio: bytes | None) -> Make:
    def make(path: Path) -> None:
        path.mkdir()
        (path / "timeline.jsonl").write_bytes(b'{"ms": 0, "kind": "call_started"}\n')
        if audio is not None:
            (path / "audio.wav").write_bytes(audio)

    return make


def chance(size: int) -> bytes:
    return random.Random(1).randbytes(size)


SECTION = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
INVITE, OK = "INVITE sip:b@x SIP/2.0", "SIP/2.0 200 OK"
VOICE = sdp(CALLER, "m=audio 4000 RTP/AVP 0")
FAX = sdp(CALLER, "m=image 4000 udptl t38")
VIDEO = sdp(CALLER, "m=video 4000 RTP/AVP 34")
OPUS = "m=audio {} RTP/AVP 96\r\na=rtpmap:96 opus/48000/2"
SAVP = "m=audio {} RTP/SAVP 0"

HOSTILE: list[tuple[str, str, Make]] = [
    ("is empty", "empty.wav", bytes_of(b"")),
    ("header and no sound", "header.wav", bytes_of(wav(data=b""))),
    ("within its header", "cut.wav", bytes_of(wav()[:10])),
    ("damaged WAV", "no_data.wav", bytes_of(wav()[:36])),
    ("header, or is damaged", "no_format.wav", bytes_of(b"RIFF\x20\0\0\0WAVEdata\x10\0\0\0" + bytes(16))),
    ("10 channels", "many.wav", bytes_of(wav(channels=10))),
    ("damaged WAV", "no_channel.wav", bytes_of(wav(channels=0))),
    ("samples a second", "fast.wav", bytes_of(wav(rate=3_000_000))),
    ("samples a second", "slow.wav", bytes_of(wav(rate=10))),
    ("WAV in G.729", "g729.wav", bytes_of(wav(codec=0x83, bits=0))),
    ("WAV in MP3", "mp3.wav", bytes_of(wav(codec=0x55, bits=0))),
    ("WAV in AAC", "aac.wav", bytes_of(wav(codec=0xFF, bits=0))),
    ("codec 0x1234", "what.wav", bytes_of(wav(codec=0x1234))),
    ("within its header", "magic.flac", bytes_of(b"fLaC")),
    ("within its header", "cut.flac", flac(slice(0, 30))),
    ("within its header", "silent.flac", flac(slice(0, 86))),
    ("within its header", "noise.ogg", bytes_of(b"OggS" + chance(2000))),
    ("is MP3, or claims to be", "tag.mp3", bytes_of(b"ID3\x04\0\0\0\0\0\0" + bytes(500))),
    ("MP4 or M4A", "phone.m4a", bytes_of(b"\0\0\0\x20ftypM4A " + chance(500))),
    ("WebM", "browser.webm", bytes_of(b"\x1aE\xdf\xa3" + chance(500))),
    ("AMR", "phone.amr", bytes_of(b"#!AMR\n" + chance(500))),
    ("Windows Media", "old.wma", bytes_of(b"0&\xb2u\x8ef\xcf\x11" + chance(500))),
    ("a PDF", "letter.wav", bytes_of(b"%PDF-1.7\n" + chance(500))),
    ("a ZIP archive", "calls.zip", bytes_of(b"PK\x03\x04" + chance(500))),
    ("a gzip archive", "call.wav.gz", bytes_of(b"\x1f\x8b\x08\0" + chance(500))),
    ("a picture", "wave.png", bytes_of(b"\x89PNG\r\n\x1a\n" + chance(500))),
    ("is text", "notes.wav", bytes_of(b"The caller was angry.\n" * 40)),
    ("can be decoded here (Format not recognised)", "random.wav", bytes_of(b"\0" + chance(5000))),
    ("can be decoded here (Format not recognised)", "zeros.wav", bytes_of(bytes(5000))),
    ("no audio.wav", "20260101-call", recorded(None)),
    ("header and no sound", "20260102-call", recorded(header(0))),
    ("not as this service records", "20260103-call", recorded(wav())),
    ("is empty", "empty.pcap", bytes_of(b"")),
    ("breaks off within the header", "magic.pcap", bytes_of(b"\xd4\xc3\xb2\xa1\x02\0")),
    ("neither SIP nor RTP", "nothing.pcap", lambda path: pcap(path, [])),
    ("none of the marks", "text.pcap", bytes_of(b"not a capture at all")),
    ("a packet of 4294967295 bytes", "huge.pcap", lambda p: p.write_bytes(pcap(p, []).read_bytes() + b"\xff" * 16)),
    ("captured on Wi-Fi", "wifi.pcap", lambda path: pcap(path, [(0.0, bytes(60))], 105)),
    ("captured on link type 249", "other.pcap", lambda path: pcap(path, [(0.0, bytes(60))], 249)),
    ("neither SIP nor RTP", "dns.pcap", lambda path: pcap(path, [(0.0, udp(CALLER, 5353, BOT, 53, chance(40)))] * 9)),
    ("neither SIP nor RTP", "torn.pcap", lambda path: pcap(path, [(0.0, chance(n)) for n in range(60)])),
    ("a block of 0 bytes", "zero.pcapng", bytes_of(SECTION + b"\6\0\0\0" + bytes(40))),
    ("neither SIP nor RTP", "cut.pcapng", bytes_of(SECTION[:20])),
    ("neither SIP nor RTP", "bare.pcapng", bytes_of(SECTION + block(6, bytes(40)))),
    ("failed with 486", "busy.pcap", captured((INVITE, CALLER, VOICE), ("SIP/2.0 486 Busy Here", BOT, ""))),
    ("no RTP with it", "signalling.pcap", captured((INVITE, CALLER, VOICE), (OK, BOT, VOICE))),
    ("a fax was sent (T.38)", "fax.pcap", captured((INVITE, CALLER, FAX), (OK, BOT, FAX))),
    ("video only", "video.pcap", captured((INVITE, CALLER, VIDEO), (OK, BOT, VIDEO))),
    ("encrypted (SRTP)", "srtp.pcap", spoken(media=SAVP)),
    ("encrypted (ZRTP)", "zrtp.pcap", zrtp),
    ("the payload is noise", "secret.pcap", spoken(lambda payload: random.Random(payload).randbytes(160))),
    ("it is in G729", "g729.pcap", spoken(lambda payload: payload[:20], 18, "m=audio {} RTP/AVP 18")),
    ("it is in OPUS", "opus.pcap", spoken(lambda payload: payload[:90], 96, OPUS)),
    ("keys, and no sound", "keys.pcap", keys_only),
    ("hours, and 12 are the limit", "ages.pcap", ages_apart),
]  # fmt: skip


def sentence(error: pytest.ExceptionInfo[UsageError]) -> str:
    return str(error.value)


@pytest.mark.parametrize(("says", "name", "make"), HOSTILE, ids=[name for _, name, _ in HOSTILE])
def test_a_hostile_file_ends_in_one_clear_sentence(says: str, name: str, make: Make, tmp_path: Path) -> None:
    path = tmp_path / name
    make(path)
    with pytest.raises(UsageError) as error:
        load(path)
    assert says in sentence(error)
    assert Path(name).name in sentence(error)
    assert re.fullmatch(r"[^\n]{10,240}\.", sentence(error))


def test_there_are_forty_of_them_and_more() -> None:
    assert 40 <= len({name for _, name, _ in HOSTILE})


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.wav cannot be opened: no such file or directory\."):
        load(tmp_path / "gone.wav")


def test_two_files_of_which_one_is_stereo(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "caller.wav", SOUND, 8000)
    soundfile.write(tmp_path / "bot.wav", np.stack([SOUND, SOUND // 2], 1), 8000)
    with pytest.raises(UsageError, match=r"^bot\.wav has two channels; of two files, each is one side\.$"):
        load(tmp_path / "caller.wav", Told(bot=tmp_path / "bot.wav"))


@pytest.mark.parametrize(
    ("says", "name", "data"),
    [
        ("is not JSON", "words.json", b"{"),
        ("has no words in it", "words.json", b"[1, 2]"),
        ("has no words in it", "words.vtt", b"WEBVTT\n\n"),
        ("has no words in it", "words.stm", b";; nobody\nx 1 y z\n"),
        ("has no words in it", "words.txt", b" \n"),
        ("is not UTF-8", "words.txt", b"\xff\xfe\x00a"),
    ],
)
def test_a_transcript_that_is_none(says: str, name: str, data: bytes, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "call.wav", SOUND, 8000)
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError, match=says):
        load(tmp_path / "call.wav", Told(reference=tmp_path / name))


def test_a_wav_that_ends_early_is_read_and_the_report_says_so(tmp_path: Path) -> None:
    (tmp_path / "early.wav").write_bytes(wav(data=bytes(16000))[:-8000])
    [call] = load(tmp_path / "early.wav")
    assert 500 == call.duration_ms
    assert ("The file ends early: 8000 of the bytes that its header promises are missing.",) == call.source.notes


def test_a_file_longer_than_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading.sound, "MAX_SECONDS", 0)
    soundfile.write(tmp_path / "long.wav", SOUND, 8000)
    with pytest.raises(UsageError, match="is the limit"):
        load(tmp_path / "long.wav")


def test_every_prefix_of_a_capture_is_opened_or_refused(tmp_path: Path) -> None:
    talk = Conversation()
    talk.invite()
    talk.speak(SOUND[:3200])
    whole = talk.write(tmp_path / "whole.pcap").read_bytes()
    for size in range(0, len(whole), 37):
        (tmp_path / "part.pcap").write_bytes(whole[:size])
        try:
            load(tmp_path / "part.pcap")
        except UsageError:
            continue


def test_a_capture_with_flipped_bits_is_opened_or_refused(tmp_path: Path) -> None:
    talk = Conversation()
    talk.invite()
    talk.speak(SOUND[:3200])
    talk.press(3, 0.7, 4000, start=30)
    whole = talk.write(tmp_path / "whole.pcap").read_bytes()
    dice = random.Random(3)
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(dice.randint(1, 20)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        (tmp_path / "bad.pcap").write_bytes(data)
        try:
            load(tmp_path / "bad.pcap")
        except UsageError:
            continue

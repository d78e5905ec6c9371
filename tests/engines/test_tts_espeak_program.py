"""The program behind the pipe, driven as a real process."""

import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

COMMAND = [sys.executable, "-m", "voicebot.engines.espeak_program"]
SETTINGS = json.dumps({"voice": "en-us", "rate": 165})
HEAD = struct.Struct("<IBI")
Frame = tuple[str, int, bytes]


class Peer:
    def __init__(self, settings: str = SETTINGS) -> None:
        self.process = subprocess.Popen([*COMMAND, settings], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdin
        assert self.process.stdout
        self.stdin, self.stdout = self.process.stdin, self.process.stdout

    def send(self, kind: str, request: int, payload: bytes = b"", pace: float = 1.0) -> None:
        if kind == "S":
            payload = struct.pack("<H", round(pace * 1000)) + payload
        self.stdin.write(HEAD.pack(5 + len(payload), ord(kind), request) + payload)
        self.stdin.flush()

    def read(self) -> Frame:
        length, kind, request = HEAD.unpack(self.stdout.read(HEAD.size))
        return chr(kind), request, self.stdout.read(length - 5)

    def answer(self, request: int) -> tuple[bytes, list[tuple[int, int]], str]:
        """(PCM, words, last kind) of the frames of a request, which come next."""
        pcm, words = b"", []
        while True:
            kind, of, payload = self.read()
            assert request == of
            if kind != "A":
                return pcm, words, kind
            (count,) = struct.unpack_from("<H", payload)
            words += list(struct.iter_unpack("<II", payload[2 : 2 + 8 * count]))
            pcm += payload[2 + 8 * count :]


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.process.kill()
    peer.process.wait()
    peer.stdin.close()
    peer.stdout.close()


def test_it_says_its_rate_and_version_before_anything_else(peer: Peer) -> None:
    kind, request, payload = peer.read()
    assert ("R", 0, 22050) == (kind, request, *struct.unpack_from("<I", payload))
    assert payload[4:].startswith(b"1.")


def test_sentences_are_answered_in_order_with_audio_and_word_places(peer: Peer) -> None:
    peer.send("S", 1, b"One two")
    peer.send("S", 2, b"Three")
    peer.read()
    pcm, words, end = peer.answer(1)
    assert ("E", [0, 4]) == (end, [position for position, _ in words])
    assert 0 == words[0][1] < words[1][1] < len(pcm) // 2
    assert "E" == peer.answer(2)[2]


def test_markup_and_commands_are_not_obeyed(peer: Peer) -> None:
    """`<b>` and `[[…]]` are read out, so each is longer than the bare word."""
    peer.read()
    sizes = []
    for request, text in enumerate((b"word", b"<b>word</b>", b"[[w3:d]]"), 1):
        peer.send("S", request, text)
        sizes.append(len(peer.answer(request)[0]))
    assert sizes[0] < min(sizes[1:])


def test_a_cancelled_sentence_stops_and_the_next_one_is_spoken(peer: Peer) -> None:
    peer.read()
    peer.send("S", 1, b"This sentence is far too long for the pipe to hold. " * 60)
    peer.read()  # it speaks, and waits for the full pipe
    peer.send("C", 1)
    time.sleep(0.05)
    peer.send("S", 2, b"Next")
    pcm, _, end = peer.answer(1)
    assert "E" == end
    assert len(pcm) < 22050 * 2 * 20
    assert "E" == peer.answer(2)[2]


def test_it_ends_when_standard_input_closes_even_while_it_speaks(peer: Peer) -> None:
    peer.read()
    peer.send("S", 1, b"This sentence is far too long for the pipe to hold. " * 60)
    peer.read()
    peer.stdin.close()
    assert 0 == peer.process.wait(timeout=5)


def test_an_unknown_voice_is_named_in_the_fault() -> None:
    peer = Peer(json.dumps({"voice": "tlh"}))
    kind, request, payload = peer.read()
    assert ("F", 0, b"espeak-ng has no voice 'tlh'.") == (kind, request, payload)
    assert 2 == peer.process.wait(timeout=5)
    peer.stdin.close()
    peer.stdout.close()


def test_it_does_not_outlive_a_parent_that_was_killed() -> None:
    """The parent is a process that starts the program, tells its id, and never ends by itself."""
    script = (
        "import subprocess, sys, time\n"
        f"p = subprocess.Popen({[*COMMAND, SETTINGS]!r}, stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "p.stdout.read(1); print(p.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert parent.stdout
    with parent.stdout:
        program = int(parent.stdout.readline())
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    until = time.monotonic() + 10
    while _runs(program):
        assert time.monotonic() < until, "it is still there ten seconds later"
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False

"""Bandwidth extension for ears: how far each way is from the recording above 4 kHz, and a page to listen to.

Log-spectral distance: the root mean square, over 4-8 kHz, of the difference of two log power spectra in dB, 32 ms every
16 ms, averaged over the frames in which the recording is within 40 dB of its loudest.
"""

from __future__ import annotations

import base64
import io
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from voicebot.engines.bandwidth import MODES, Widening, chosen
from voicebot.replay import mixing
from voicebot.replay.mixing import PHONE_RATE, WIDE_RATE, Sound
from voicebot.replay.spoken_tasks import Recording

WINDOW = 512
SPEECH_DB, FLOOR_DB, SHOWN_DB = 40.0, -90.0, 70.0
STYLE = (
    "<style>body{font-family:sans-serif;margin:1em}div{display:flex;flex-wrap:wrap;gap:1em}figure{margin:0;width:300px}"
    "img{display:block;width:100%;height:257px;border:1px solid #ccc}audio{width:100%}</style>"
    "<p>Spectrograms from 0 (below) to 8 kHz; a telephone ends half-way.</p>"
)
Power = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Distance:
    mode: str
    lsd_db: float
    """Mean over the recordings."""
    recordings: int


def ways(recording: Recording) -> dict[str, Sound]:
    """The recording at 16 kHz, and brought there from a telephone in each way, sample on sample."""
    wide = mixing.read(recording.file, WIDE_RATE)
    pcm = mixing.telephone(mixing.read(recording.file, PHONE_RATE))
    found = {"16 kHz": wide}
    for mode in MODES[:3]:
        widening = Widening(chosen(mode, "").mode)
        brought = np.frombuffer(widening.push(pcm) + widening.flush(), "<i2").astype(np.float32) / 32768
        found[mode] = np.asarray(np.resize(brought, len(wide)), np.float32)
    return found


def decibels(sound: Sound) -> Power:
    """[frames, 257] of full scale."""
    framed = np.lib.stride_tricks.sliding_window_view(np.pad(sound, (0, WINDOW)), WINDOW)[:: WINDOW // 2]
    spectrum = np.fft.rfft(framed * np.hanning(WINDOW), axis=1) / (WINDOW / 4)
    return np.asarray(10 * np.log10(spectrum.real**2 + spectrum.imag**2 + 10 ** (FLOOR_DB / 10)), np.float64)


def distance(original: Sound, other: Sound) -> float:
    """LSD in dB, see above."""
    there, here = decibels(original), decibels(other)
    loud = there.max(axis=1)
    high = slice(WINDOW // 4, None)
    off = np.sqrt(np.mean((there[:, high] - here[:, high]) ** 2, axis=1))
    return float(np.mean(off[loud >= loud.max() - SPEECH_DB]))


def distances(recordings: Sequence[Recording]) -> list[Distance]:
    """Of each way, over these recordings."""
    found: dict[str, list[float]] = {mode: [] for mode in MODES[:3]}
    for recording in recordings:
        sounds = ways(recording)
        for mode, those in found.items():
            those.append(distance(sounds["16 kHz"], sounds[mode]))
    return [Distance(mode, round(float(np.mean(those)), 2), len(those)) for mode, those in found.items()]


def picture(sound: Sound) -> bytes:
    """A PNG spectrogram in grey, a pixel for 16 ms and for 31 Hz."""
    level = np.clip((decibels(sound).T[::-1] + SHOWN_DB + 10) / SHOWN_DB, 0, 1)
    grey = (255 - 255 * level).astype(np.uint8)
    rows = b"".join(b"\x00" + row.tobytes() for row in grey)
    head = struct.pack(">IIBBBBB", grey.shape[1], grey.shape[0], 8, 0, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    chunks = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def page(recordings: Sequence[Recording], table: Sequence[Distance]) -> str:
    """HTML that needs nothing beside it: each recording in each way, heard and seen, and the table."""
    rows = "".join(f"<tr><td>{d.mode}<td>{d.lsd_db} dB<td>{d.recordings}" for d in table)
    parts = [f"<h1>Above 4 kHz</h1><table><tr><th>way<th>LSD, 4-8 kHz<th>recordings{rows}</table>"]
    for recording in recordings:
        parts.append(f"<h2>{escape(recording.file.name)}</h2><div>")
        for name, sound in ways(recording).items():
            file = io.BytesIO()
            soundfile.write(file, sound, WIDE_RATE, format="FLAC")
            parts.append(f"<figure><figcaption>{name}</figcaption>{_data('img', 'image/png', picture(sound))}")
            parts.append(_data("audio controls", "audio/flac", file.getvalue()) + "</figure>")
        parts.append("</div>")
    return f'<!doctype html><meta charset="utf-8"><title>Bandwidth extension</title>{STYLE}{"".join(parts)}\n'


def _data(tag: str, kind: str, data: bytes) -> str:
    return f'<{tag} src="data:{kind};base64,{base64.b64encode(data).decode()}"></{tag.split()[0]}>'


def write(folder: Path, recordings: Sequence[Recording], shown: int = 3) -> list[Distance]:
    """`listening.html` in the folder, of the first few; the distances over all."""
    table = distances(recordings)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "listening.html").write_text(page(recordings[:shown], table), "utf-8")
    return table

"""Sound files decoded: WAV of every PCM and law, FLAC, MP3, Ogg, AIFF … (libsndfile), to int16 at the file's own rate.

MP3: encoder and decoder delay the sound by some 1,105 samples, 138 ms at 8 kHz. Where the file has the tag of LAME's
(“Xing” or “Info”, nearly all have) the decoder takes exactly the right number off; where it has none, LAME's own
number is taken off here, and the file says by how much that may be wrong.
"""

from __future__ import annotations

import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from voicebot.errors import UsageError
from voicebot.replay.inputs.limits import IN_MEMORY_BYTES, MAX_FILE_BYTES, MAX_RATE, MAX_SECONDS

BLOCK = 1 << 18
EXACT = ("PCM_16", "PCM_24", "PCM_32", "PCM_S8", "PCM_U8", "ULAW", "ALAW")
"""Subtypes that libsndfile gives as int16 without a change of scale; the others come as float, full scale 1.0."""
MP3_DELAY = 1105
"""Samples: LAME's 576 and the decoder's 529."""
MP3_GRANULE = 576
"""Samples: other encoders differ from LAME by up to so much."""
OTHERS = {
    b"ID3": "MP3", b"%PDF": "a PDF", b"PK\x03\x04": "a ZIP archive", b"\x1f\x8b": "a gzip archive",
    b"\x89PNG": "a picture", b"\xff\xd8\xff": "a picture", b"GIF8": "a picture", b"\x1aE\xdf\xa3": "WebM or Matroska",
    b"#!AMR": "AMR", b"0&\xb2u": "Windows Media", b"MThd": "MIDI", b"FLV": "Flash video", b"7z\xbc\xaf": "a 7z archive",
    b"SQLite": "a database", b"\x7fELF": "a program", b"Rar!": "a RAR archive",
}  # fmt: skip
"""How files begin that people take for recordings."""
WAV_CODECS = {
    0x0022: "TrueSpeech", 0x0055: "MP3", 0x0057: "Vorbis", 0x0083: "G.729", 0x0050: "MPEG", 0x0111: "G.723",
    0x0161: "Windows Media", 0x0038: "AMR", 0x0042: "G.723", 0x028E: "G.722", 0x008A: "G.726", 0x00FF: "AAC",
}  # fmt: skip
MP3_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
HOW = "Give WAV, FLAC or MP3"


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    samples: npt.NDArray[np.int16]
    """(frames, channels); mapped from a temporary file where it is long."""
    rate: int
    form: str
    """`WAV, PCM_16` …"""
    uncertainty_ms: float = 0.0
    notes: tuple[str, ...] = ()


def read(path: Path) -> Sound:
    """A sound file's channels. `UsageError` in one sentence for what is none, or too much."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(4096)
    except OSError as error:
        raise UsageError(f"{path} cannot be opened: {(error.strerror or str(error)).lower()}.") from None
    if not size:
        raise UsageError(f"{path.name} is empty.")
    if size > MAX_FILE_BYTES:
        raise UsageError(f"{path.name} has {size >> 30} GiB; {MAX_FILE_BYTES >> 30} are the limit.")
    try:
        with soundfile.SoundFile(path) as sound:
            return _decoded(sound, path, start, size)
    except (soundfile.LibsndfileError, RuntimeError, OSError, ValueError, MemoryError) as error:
        raise UsageError(f"{path.name} {_what(start, error)}") from None


def _decoded(sound: soundfile.SoundFile, path: Path, start: bytes, size: int) -> Sound:
    rate, channels = sound.samplerate, sound.channels
    if not 4000 <= rate <= MAX_RATE:
        raise UsageError(f"{path.name} has {rate} samples a second: no recording of a call has.")
    if channels > 2:
        raise UsageError(f"{path.name} has {channels} channels; a call has two, or give two files.")
    samples = _blocks(sound, path)
    notes, uncertainty_ms = list[str](), 0.0
    if sound.format == "MP3":
        samples, uncertainty_ms, notes = _mp3(samples, rate, start)
    elif missing := _missing(start, size):
        notes.append(f"The file ends early: {missing} of the bytes that its header promises are missing.")
    if not len(samples):
        raise UsageError(f"{path.name} has a header and no sound.")
    return Sound(samples, rate, f"{sound.format}, {sound.subtype}", uncertainty_ms, tuple(notes))


def _blocks(sound: soundfile.SoundFile, path: Path) -> npt.NDArray[np.int16]:
    """All of it, a block at a time: what a header says of the length is not believed."""
    limit, channels = MAX_SECONDS * sound.samplerate, sound.channels
    with tempfile.TemporaryFile() as file:
        frames = 0
        while len(block := _block(sound)):
            frames += len(block)
            if frames > limit:
                raise UsageError(f"{path.name} is longer than {MAX_SECONDS // 3600} hours, which is the limit.")
            file.write(block.tobytes())
        file.flush()
        if not frames:
            return np.zeros((0, channels), np.int16)
        if frames * channels * 2 > IN_MEMORY_BYTES:
            return np.memmap(file, np.int16, "r", shape=(frames, channels))
        file.seek(0)
        return np.frombuffer(file.read(), np.int16).reshape(frames, channels)


def _block(sound: soundfile.SoundFile) -> npt.NDArray[np.int16]:
    if sound.subtype in EXACT:
        return np.asarray(sound.read(BLOCK, "int16", always_2d=True), np.int16)
    wave: npt.NDArray[np.float32] = np.nan_to_num(
        sound.read(BLOCK, "float32", always_2d=True), nan=0.0, posinf=1.0, neginf=-1.0
    )
    scaled: npt.NDArray[np.int16] = np.clip(np.rint(wave * 32768), -32768, 32767).astype(np.int16)
    return scaled


def _mp3(samples: npt.NDArray[np.int16], rate: int, start: bytes) -> tuple[npt.NDArray[np.int16], float, list[str]]:
    if b"Xing" in start or b"Info" in start:
        return samples, 0.0, []
    residual_ms = MP3_GRANULE * 1000 / rate
    return (
        samples[MP3_DELAY:],
        round(residual_ms, 1),
        [
            f"This MP3 does not say how much its encoder delayed the sound: {MP3_DELAY} samples were taken off, as "
            f"LAME's need; times may be off by {residual_ms:.0f} ms, both sides alike."
        ],
    )


def _missing(start: bytes, size: int) -> int:
    """Bytes of a WAV's data that its header promises and the file does not have."""
    at = start.find(b"data", 12)
    if start[:4] != b"RIFF" or at < 0 or at + 8 > len(start):
        return 0
    promised = struct.unpack_from("<I", start, at + 4)[0]
    streamed = promised >= 0x7FFFFF00 or not promised  # written to a pipe: the length was not known
    return 0 if streamed else max(0, at + 8 + promised - size)


def _what(start: bytes, error: Exception) -> str:
    """Why it cannot be read, as the second half of a sentence."""
    for mark, name in OTHERS.items():
        if start.startswith(mark):
            return f"is {name}, or claims to be, and cannot be decoded. {HOW}."
    if start[4:8] == b"ftyp":
        return f"is MP4 or M4A, which is not decoded here. {HOW}."
    if start[:4] == b"RIFF" and (at := start.find(b"fmt ", 12)) > 0 and len(start) >= at + 10:
        codec = struct.unpack_from("<H", start, at + 8)[0]
        if codec not in (1, 3, 0xFFFE):
            return f"is a WAV in {WAV_CODECS.get(codec, f'codec {codec:#06x}')}, which is not decoded here. {HOW}."
        return f"is a damaged WAV. {HOW}."
    if start[:3] in (b"RIF", b"fLa", b"Ogg"):
        return f"breaks off within its header, or is damaged. {HOW}."
    if start and all(byte in b"\t\r\n\x1b" or 32 <= byte < 127 or byte > 127 for byte in start[:512]):
        return f"is text, not a recording. {HOW}."
    return f"is no recording that can be decoded here ({str(error).rpartition(': ')[2].rstrip('.')}). {HOW}."

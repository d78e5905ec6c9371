"""A packet capture → its calls: SIP says who calls whom and where the media go, RTP brings both sides' sound.

The side that sent the INVITE is the caller. Media that no SIP of the capture speaks of are a call, too: streams
between the same two ends, each way; who is who is then found as in a stereo file. The same packets seen on a second
leg of a proxy are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from voicebot.errors import UsageError
from voicebot.replay.inputs import rtp
from voicebot.replay.inputs.dialogs import Dialog, learn
from voicebot.replay.inputs.limits import MAX_SECONDS
from voicebot.replay.inputs.packets import End, Trouble, datagrams
from voicebot.replay.inputs.rtp import Stream
from voicebot.replay.recording import RATE, CallAudio, Media, Samples
from voicebot.replay.verdict import OTHER, Event, Side, Source

MAX_STREAMS = 4096
SLACK_S = 2.0
"""Media may come so long before the SIP message and after the BYE that belong to them."""
WANDER_MS = 20.0
"""More is worth a note."""
ZRTP = b"ZRTP"
"""Where RTP has its time stamp (RFC 6189 §5)."""


@dataclass(slots=True)
class _Found:
    """Everything a capture holds, before it is made into calls."""

    dialogs: dict[str, Dialog] = field(default_factory=dict)
    streams: dict[tuple[End, End, int], Stream] = field(default_factory=dict)
    zrtp: set[End] = field(default_factory=set)
    trouble: Trouble = field(default_factory=Trouble)


@dataclass(slots=True)
class _Call:
    name: str
    dialog: Dialog | None
    sides: dict[Side, list[Stream]]


def load(path: Path) -> list[CallAudio]:
    """Its calls with sound, in order. `UsageError` in one sentence when there are none, and why."""
    found = _read(path)
    calls = _calls(found, path)
    opened, refused = list[CallAudio](), list[str]()
    for call in calls:
        streams = [stream for side in call.sides.values() for stream in side]
        if reason := _unheard(call, streams, found.zrtp):
            refused.append(reason)
        else:
            opened.append(_audio(call, path, found, refused))
    if not opened:
        raise UsageError(f"{path.name} has no call that can be heard: {_why_none(found, refused)}.")
    return opened


def _read(path: Path) -> _Found:
    found = _Found()
    for datagram in datagrams(path, found.trouble):
        if learn(found.dialogs, datagram) or datagram.tcp:
            continue
        if datagram.data[4:8] == ZRTP:
            found.zrtp |= {datagram.source, datagram.target}
        elif head := rtp.header(datagram.data):
            kind, sequence, stamp, ssrc, payload = head
            key = (datagram.source, datagram.target, ssrc)
            if key not in found.streams and len(found.streams) >= MAX_STREAMS:
                found.trouble.unreadable += 1
                continue
            stream = found.streams.setdefault(key, Stream(datagram.source, datagram.target, ssrc))
            stream.add(datagram, sequence, stamp, kind, payload)
    return found


def _calls(found: _Found, path: Path) -> list[_Call]:
    """Streams given to the dialogues that opened their addresses; the rest paired by their ends."""
    calls: dict[str, _Call] = {}
    left: list[Stream] = []
    for stream in found.streams.values():
        dialog, side = _belongs(stream, found.dialogs)
        if dialog is None or side is None:
            left.append(stream)
            continue
        stream.codecs |= dialog.codecs
        if len(stream.packets) < 3 and stream.codec() not in rtp.DECODE:
            continue  # what keeps a router's port open looks like RTP at times
        call = calls.setdefault(dialog.call_id, _Call(path.stem, dialog, {"caller": [], "bot": []}))
        call.sides[side].append(stream)
    for call in calls.values():
        _two_voices(call)
    known = {stream.ssrc for call in calls.values() for side in call.sides.values() for stream in side}
    pairs: dict[frozenset[End], _Call] = {}
    for stream in left:
        if len(stream.packets) < rtp.LEAST_PACKETS or not _plausible(stream) or stream.ssrc in known:
            continue
        pair = pairs.setdefault(
            frozenset((stream.source, stream.target)), _Call(path.stem, None, {"caller": [], "bot": []})
        )
        first = pair.sides["caller"]
        side = "caller" if not first or first[0].source == stream.source else "bot"
        pair.sides[side].append(stream)
    everything = [*calls.values(), *_once(pairs)]
    everything.sort(key=lambda call: min(s.start_s for side in call.sides.values() for s in side))
    if len(everything) > 1:
        for number, call in enumerate(everything, 1):
            call.name = f"{path.stem}-{number}"
    return everything


def _two_voices(call: _Call) -> None:
    """A relay that SDP does not name sends to one party and takes from it: streams of different hosts at one time are
    two voices, and the one that comes from a party's own address is that party's."""
    for side, other in OTHER.items():
        streams, places = call.sides[side], call.dialog.places if call.dialog else {}
        if call.sides[other] or len({stream.source.host for stream in streams}) < 2:
            continue
        own = [stream for stream in streams if stream.source in places]
        if own and len(own) < len(streams):
            call.sides[side], call.sides[other] = own, [stream for stream in streams if stream not in own]


def _once(pairs: dict[frozenset[End], _Call]) -> list[_Call]:
    """Without the calls whose every packet was seen before, on the other leg of a proxy."""
    kept, seen = list[_Call](), set[int]()
    for call in pairs.values():
        sources = {stream.ssrc for side in call.sides.values() for stream in side}
        if not sources <= seen:
            kept.append(call)
        seen |= sources
    return kept


def _plausible(stream: Stream) -> bool:
    """Whether what looks like RTP is: sequence numbers go up by one, mostly, under one payload type, mostly."""
    numbers = np.diff([packet.sequence for packet in stream.packets])
    return bool((np.abs(numbers) <= 3).mean() > 0.8)


def _belongs(stream: Stream, dialogs: dict[str, Dialog]) -> tuple[Dialog | None, Side | None]:
    """The dialogue that names one of its ends at its time, and whose voice it carries."""
    for dialog in sorted(dialogs.values(), key=lambda each: -each.start_s):  # addresses are used again: the latest
        ended_s = dialog.end_s if dialog.end_s is not None else float("inf")
        if not dialog.start_s - SLACK_S <= stream.start_s <= ended_s + SLACK_S:
            continue
        if side := dialog.places.get(stream.target):
            return dialog, "bot" if side == "caller" else "caller"
        if side := dialog.places.get(stream.source):
            return dialog, side
    return None, None


def _unheard(call: _Call, streams: list[Stream], zrtp: set[End]) -> str:
    """Why a call cannot be decoded; empty when it can."""
    if call.dialog and call.dialog.encrypted:
        return "its media are encrypted (SRTP), and the keys are not in a capture"
    if any(stream.source in zrtp or stream.target in zrtp for stream in streams):
        return "its media are encrypted (ZRTP), and the keys are not in a capture"
    codecs = {stream.codec() for stream in streams} - {""}
    if not codecs:
        return "it has keys, and no sound"
    if not codecs & set(rtp.DECODE):
        return f"it is in {' and '.join(sorted(codecs))}; PCMU and PCMA are what is decoded here"
    if any(rtp.looks_encrypted(stream) for stream in streams):
        return "its media look encrypted: the payload is noise"
    start_s, end_s = min(s.start_s for s in streams), max(s.end_s for s in streams)
    if end_s - start_s > MAX_SECONDS:
        return f"it lasts {(end_s - start_s) / 3600:.1f} hours, and {MAX_SECONDS // 3600} are the limit"
    return ""


def _why_none(found: _Found, refused: list[str]) -> str:
    if refused:
        return "; ".join(dict.fromkeys(refused))
    media = {kind for dialog in found.dialogs.values() for kind in dialog.media}
    if "image" in media:
        return "a fax was sent (T.38), and no speech"
    if "video" in media and "audio" not in media:
        return "there is video only"
    if found.dialogs:
        codes = sorted({dialog.last_code for dialog in found.dialogs.values() if dialog.last_code >= 300})
        failed = f", and calls failed with {', '.join(map(str, codes))}" if codes else ""
        return f"there is SIP of {len(found.dialogs)} calls but no RTP with it{failed}"
    return "there is neither SIP nor RTP in it"


def _audio(call: _Call, path: Path, found: _Found, notes: list[str]) -> CallAudio:
    placed = {
        side: [part for stream in streams for part in rtp.segments(stream)] for side, streams in call.sides.items()
    }
    origin_s = min(rtp.origin_s(part) for parts in placed.values() for part in parts)
    events = list[Event]()
    tracks: dict[Side, Samples | None] = {}
    for side, parts in placed.items():
        tracks[side] = _track(parts, origin_s) if parts else None
        for part in parts:
            at = round((rtp.origin_s(part) - origin_s) * RATE)
            events += [_key(side, at + start, lasts, key) for start, lasts, key in rtp.keys(part)]
    dialog, end_ms = call.dialog, max(len(track) for track in tracks.values() if track is not None) // 8
    if dialog:
        events += [_key(side, round((at_s - origin_s) * RATE), 800, key) for at_s, side, key in dialog.keys]
    wander_ms = max(rtp.wander_ms(part) for parts in placed.values() for part in parts)
    sides = "by the SIP dialogue" if dialog else "unknown"
    return CallAudio(
        name=call.name,
        source=Source(
            "capture", (path.name,), sides, RATE, round(wander_ms, 1), tuple(_notes(call, found, notes, wander_ms))
        ),
        rate=RATE,
        caller=tracks["caller"],
        bot=tracks["bot"],
        events=tuple(sorted((e for e in events if e.start_ms <= end_ms + 1000), key=lambda event: event.start_ms)),
        media=tuple((side, _quality(streams)) for side, streams in call.sides.items() if streams),
    )


def _track(parts: list[Stream], origin_s: float) -> Samples:
    """Streams of one side on the call's clock; where two overlap, the later one is heard."""
    placed = [(max(0, round((rtp.origin_s(part) - origin_s) * RATE)), rtp.decode(part)) for part in parts]
    track = np.zeros(max(at + len(samples) for at, samples in placed), np.int16)
    for at, samples in sorted(placed, key=lambda each: each[0]):
        track[at : at + len(samples)] = samples
    return track


def _key(side: Side, at: int, lasts: int, key: str) -> Event:
    start_ms = max(0, at) * 1000 // RATE
    return Event("dtmf", start_ms, start_ms + lasts * 1000 // RATE, side, key)


def _quality(streams: list[Stream]) -> Media:
    """Of a side's streams together; jitter is the worst one's."""
    each = [rtp.quality(stream) for stream in streams]
    return Media(
        packets=sum(media.packets for media in each),
        lost=sum(media.lost for media in each),
        late=sum(media.late for media in each),
        reordered=sum(media.reordered for media in each),
        jitter_ms=max(media.jitter_ms for media in each),
        jitter_p95_ms=max(media.jitter_p95_ms for media in each),
        concealed_ms=sum(media.concealed_ms for media in each),
        codec=max(each, key=lambda media: media.packets).codec,
    )


def _notes(call: _Call, found: _Found, refused: list[str], wander_ms: float) -> list[str]:
    notes = [f"Another call of the capture cannot be heard: {reason}." for reason in dict.fromkeys(refused)]
    if call.dialog and "video" in call.dialog.media:
        notes.append("The call had video, which is left out.")
    if wander_ms > WANDER_MS:
        notes.append(f"A sender's clock wanders by {wander_ms:.0f} ms: so much may times in this call be off.")
    if found.trouble.cut_off:
        notes.append("The capture breaks off in the middle of a packet.")
    if found.trouble.clipped:
        notes.append(f"The capture kept only the beginning of {found.trouble.clipped} packets.")
    if found.trouble.unreadable:
        notes.append(f"{found.trouble.unreadable} packets of the capture cannot be read.")
    return notes

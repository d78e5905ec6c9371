"""What an offer has for us."""

from __future__ import annotations

import pytest

from voicebot.core.sip_sdp import codecs

HEAD = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"


@pytest.mark.parametrize(
    ("media", "found"),
    [
        (b"m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n", {"PCMU", "PCMA", "TELEPHONE-EVENT"}),
        (b"m=audio 4000 RTP/AVP 97\r\na=rtpmap:97 PCMA/8000/1\r\n", {"PCMA"}),
        (b"m=audio 4000 RTP/AVP 9\r\na=rtpmap:9 G722/8000\r\n", {"G722"}),
        (b"m=audio 4000 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\n", set()),
        (b"m=video 4000 RTP/AVP 0\r\n", None),
        (b"m=audio 0 RTP/AVP 0\r\n", set()),
        (b"m=audio 0 RTP/AVP 9\nm=audio 4000 RTP/SAVP 8\n", {"PCMA"}),
    ],
)
def test_the_codecs_of_an_offer(media: bytes, found: set[str] | None) -> None:
    assert found == codecs(HEAD + media)


def test_what_is_no_sdp_has_no_audio() -> None:
    assert codecs(b"\xff\x00nonsense") is None

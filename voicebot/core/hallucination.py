"""What speech models write when nobody spoke: last lines of subtitles, one phrase over and over, the prompt itself."""

from __future__ import annotations

import re
import zlib

MOST_WORDS_S = 7.0
"""Nobody speaks more words in a second than this, and a sentence needs a little time to begin."""
REPETITIVE = 2.4
"""A text that compresses better than this goes round in circles (the threshold of openai-whisper)."""
FEWEST_BYTES = 60
"""A shorter text compresses badly whatever it says."""
_LINE = (
    r"(thank(s| you)( so much)? for watching( this video)?( and (please )?subscribe)?( to (my|the|our) channel)?"
    r"|(please )?(like and )?(don't forget to )?subscribe( to (my|the|our) channel)?"
    r"|(i'll )?see you (guys )?in the next (video|one)"
    r"|(subtitles|captions|captioning|transcription|transcribed|translated|subtitled)( and translation)?"
    r" (by|provided by|made by|created by)( the)? .{2,40}"
    r"|www [a-z]+ (com|org)"
    r"|(sous-titres|sous-titrage)( réalisés)?( par)?.{0,40}|merci d'avoir regardé( la| cette)? vidéo"
    r"|untertitel(ung)?( im auftrag)?( von| der| des)? .{2,40}|vielen dank fürs zuschauen"
    r"|subtítulos (realizados )?por .{2,40}|gracias por ver( el video)?|suscríbete( al canal)?)"
)
SUBTITLES = re.compile(f"{_LINE}( {_LINE})*")


def why_unlikely(text: str, seconds: float, prompt: str = "") -> str | None:
    """Why `text` was not said in so many seconds of audio; None when it may have been. `prompt` is what the model was
    told to expect."""
    words = re.findall(r"[\w'-]+", text.lower())
    plain = " ".join(words)
    if not words:
        return None
    if SUBTITLES.fullmatch(plain):
        return "a line of subtitles"
    if len(words) > 2 + MOST_WORDS_S * seconds:
        return "more words than there was time for"
    if len(words) > 3 and plain == " ".join(re.findall(r"[\w'-]+", prompt.lower())):
        return "the prompt"
    encoded = plain.encode()
    if len(encoded) >= FEWEST_BYTES and len(encoded) / len(zlib.compress(encoded)) > REPETITIVE:
        return "the same again and again"
    return None

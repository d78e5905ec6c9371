"""What Whisper-like recognisers make up where nobody speaks, and how to tell.

Trained on subtitles, they fill noise and silence with what subtitles say there (credits, thanks for watching), or go
round in a loop. The thresholds of silence and compression are those of OpenAI's own `transcribe`.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from voicebot.core.grammar import normalise
from voicebot.core.words import Word

NO_SPEECH = 0.6
UNLIKELY = -1.0
"""Mean log probability of a token below which a text is doubtful."""
COMPRESSION = 2.4
COMPRESSION_FROM_BYTES = 60
"""A short text does not compress; a phone number with four zeros in it must pass."""
LOOPS = 4
"""Times a phrase of two to six words may follow itself; a single word may `LONE_LOOPS` times."""
LONE_LOOPS = 8
WORDS_PER_S = 8.0
"""Faster than anybody speaks."""

_ENDS = (".", "?", "!", "。", "？", "！")

_CREDITS: Mapping[str, tuple[str, ...]] = {
    "en": ("subtitles by", "captions by", "subtitled by", "transcription by", "thanks for watching",
           "thank you for watching", "thank you so much for watching", "please subscribe", "like and subscribe",
           "don't forget to subscribe", "amara.org"),
    "de": ("untertitel der amara.org-community", "untertitel der amara.org",
           "untertitelung des zdf", "untertitel im auftrag des zdf", "untertitelung im auftrag",
           "untertitel von", "vielen dank fürs zuschauen", "danke fürs zuschauen", "copyright wdr", "swr 20"),
    "fr": ("sous-titres réalisés", "sous-titres par", "sous-titrage", "merci d'avoir regardé", "amara.org"),
    "es": ("subtítulos realizados por", "subtítulos por", "gracias por ver", "suscríbete al canal", "amara.org"),
    "it": ("sottotitoli creati dalla", "sottotitoli a cura", "sottotitoli e revisione", "grazie per la visione"),
    "pt": ("legendas pela comunidade", "legendado por", "obrigado por assistir", "amara.org"),
    "nl": ("ondertitels ingediend door", "ondertiteld door", "bedankt voor het kijken", "amara.org"),
    "pl": ("napisy stworzone przez", "napisy wykonane przez", "dziękuję za oglądanie"),
    "ru": ("редактор субтитров", "субтитры сделал", "субтитры подогнал", "продолжение следует", "спасибо за просмотр"),
    "tr": ("altyazı", "izlediğiniz için teşekkür"),
    "zh": ("字幕由", "字幕by", "请不吝点赞", "谢谢观看", "感谢观看"),
    "ja": ("ご視聴ありがとう", "字幕by"),
    "ko": ("시청해주셔서 감사합니다", "구독과 좋아요"),
}  # fmt: skip
"""What no caller says, as it begins or stands in the text."""

_FILLERS: Mapping[str, tuple[str, ...]] = {
    "en": ("thank you", "thanks", "you", "bye", "bye bye", "okay", "so", "the", "oh", "hmm"),
    "de": ("vielen dank", "danke", "tschüss", "das war's", "ja"),
    "fr": ("merci", "au revoir", "oui"),
    "es": ("gracias", "adiós", "sí"),
    "it": ("grazie", "ciao"),
    "pt": ("obrigado", "tchau"),
    "nl": ("dank je wel", "bedankt"),
}
"""What a caller may well say, and noise is often taken for: believed only where speech is likely."""
FILLER_NO_SPEECH = 0.3
FILLER_UNLIKELY = -0.7


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a hypothesis. Times are milliseconds from the start of the audio that was heard."""

    text: str
    start_ms: int
    end_ms: int
    no_speech: float
    """Probability that nobody spoke, 0..1."""
    log_probability: float
    """Mean of its tokens."""
    words: tuple[Word, ...] = ()


def made_up(segment: Segment, language: str) -> str | None:
    """Why a segment is not believed, as a word for the log; None for one that is. `language` is BCP 47."""
    words = normalise(segment.text)
    text = " ".join(words) or segment.text.strip()
    primary = language.partition("-")[0].lower()
    doubtful = segment.no_speech > FILLER_NO_SPEECH or segment.log_probability < FILLER_UNLIKELY
    if not text:
        return "empty"
    if segment.no_speech > NO_SPEECH and segment.log_probability < UNLIKELY:
        return "no_speech"
    if any(_stands_in(_plain(phrase), text) for phrase in _CREDITS.get(primary, ())):
        return "subtitles"
    if doubtful and text in map(_plain, _FILLERS.get(primary, ())):
        return "filler"
    if _compression(segment.text) > COMPRESSION or _loops(words):
        return "repetition"
    if len(words) > 3 and len(words) > WORDS_PER_S * max(1, segment.end_ms - segment.start_ms) / 1000:
        return "too_fast"
    return None


def believed(segments: Sequence[Segment], language: str) -> list[Segment]:
    """Without what is made up: whole segments, or single sentences of them (credits after what was said)."""
    kept = []
    for segment in segments:
        if made_up(segment, language) in (None, "subtitles", "filler"):
            kept += [part for part in sentences(segment) if made_up(part, language) is None]
    return kept


def sentences(segment: Segment) -> list[Segment]:
    """The segment's sentences, where it has words; they keep its times and probabilities."""
    parts: list[list[Word]] = [[]]
    for word in segment.words:
        parts[-1].append(word)
        if word.text.endswith(_ENDS):
            parts.append([])
    found = [replace(segment, text=" ".join(w.text for w in part), words=tuple(part)) for part in parts if part]
    return found if len(found) > 1 else [segment]


def _plain(phrase: str) -> str:
    return " ".join(normalise(phrase)) or phrase


def _stands_in(phrase: str, text: str) -> bool:
    return phrase in text if not phrase.isascii() else f" {phrase} " in f" {text} "


def _compression(text: str) -> float:
    """How many times longer a text is than when compressed; 1 for a short one."""
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if len(data) >= COMPRESSION_FROM_BYTES else 1.0


def _loops(words: Sequence[str]) -> bool:
    """Whether a phrase of one to six words follows itself too often."""
    for size in range(1, 7):
        run, most = size, size * (LONE_LOOPS if size == 1 else LOOPS)
        for at in range(size, len(words)):
            run = run + 1 if words[at] == words[at - size] else size
            if run > most:
                return True
    return False


# --- a text alone: servers that give neither times nor probabilities, nor say what language it is -----------------

MOST_WORDS_S = 7.0
"""Nobody speaks more words in a second than this, and a sentence needs a little time to begin."""
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
    if _compression(plain) > COMPRESSION:
        return "the same again and again"
    return None

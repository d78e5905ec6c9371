"""A text translator that knows what it is told: whole sentences, by heart. For closed worlds, and to try things out.

Options (`engines.options.phrasebook`): a language, `es-en`, and its sentences, `{"buenos días": good morning}`. What is
not in the book is a fault, not a guess.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping

from voicebot.engines.base import EngineConfig
from voicebot.errors import PeerError, UsageError


def check() -> str | None:
    return None


def create(config: EngineConfig) -> Phrasebook:
    books: dict[str, dict[str, str]] = {}
    for languages, book in config.options.items():
        if not isinstance(book, Mapping):
            raise UsageError(f"phrasebook's {languages} must map sentences to sentences, such as {{hola: hello}}.")
        books[languages] = {_plain(str(text)): str(said) for text, said in book.items()}
    if not books:
        raise UsageError("phrasebook has no sentences. Write them under engines.options.phrasebook.es-en.")
    return Phrasebook(books)


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


class Phrasebook:
    """The translator."""

    def __init__(self, books: Mapping[str, Mapping[str, str]]) -> None:
        self._books = books

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def translate(self, text: str, source: str, target: str) -> AsyncIterator[str]:
        """The sentence, if it is known."""
        languages = f"{source.partition('-')[0]}-{target.partition('-')[0]}"
        found = self._books.get(languages, {}).get(_plain(text))
        if found is None:
            raise PeerError(f"The phrasebook has no {languages} for {text!r}.")
        yield found

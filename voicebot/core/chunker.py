"""Clause chunker: cut a streaming reply where a person would breathe, so that speech starts early.

The first clause may be short (a comma is enough after a few words); later ones are whole sentences or long
clauses, which sound better. What is cut always concatenates to what came in.
"""

from __future__ import annotations

import re

_SENTENCE = re.compile(r"[.!?…]+[\"')\]]*\s+|\n+")
_CLAUSE = re.compile(r"[,;:–—][\"')\]]*\s+")
_ABBREVIATION = re.compile(r"(?:\b(?:Dr|Mr|Mrs|Ms|St|No|vs|etc|approx|e\.g|i\.e)|\b[A-Z])\.\s+$")


class Chunker:
    """`first_words`: words after which a comma ends the first clause; `long_words`: a later clause this long may
    end at a comma; `limit` characters end any clause at a space."""

    def __init__(self, first_words: int = 3, long_words: int = 12, limit: int = 300) -> None:
        self._first_words, self._long_words, self._limit = first_words, long_words, limit
        self._rest = ""
        self._begun = False

    def push(self, text: str) -> list[str]:
        """Clauses that are complete now."""
        self._rest += text
        clauses = []
        while (end := self._cut()) > 0:
            clauses.append(self._rest[:end])
            self._rest = self._rest[end:]
            self._begun = True
        return clauses

    def flush(self) -> list[str]:
        """The rest, at the end of the reply; ready for another reply."""
        rest, self._rest, self._begun = self._rest, "", False
        return [rest] if rest.strip() else []

    def _cut(self) -> int:
        text = self._rest
        for match in _SENTENCE.finditer(text):
            if text[: match.end()].strip() and not _ABBREVIATION.search(text[: match.end()]):
                return match.end()
        enough = self._long_words if self._begun else self._first_words
        for match in _CLAUSE.finditer(text):
            if len(text[: match.start()].split()) >= enough:
                return match.end()
        if len(text) > self._limit:
            return text.rfind(" ", 1, self._limit) + 1 or self._limit
        return 0

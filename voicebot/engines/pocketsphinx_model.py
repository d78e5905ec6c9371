"""What pocketsphinx needs to understand one expectation: a language model or grammar and a dictionary, as files
named by the hash of everything they were made from, so that they are built once per dialplan change.

Built by `python -m voicebot.engines.pocketsphinx_model FOLDER` (an expectation as JSON on standard input), which
is a process of its own: a second of Python that no call has to wait for.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voicebot.core import ngram, pronounce
from voicebot.core.expect import Expectation, Mode
from voicebot.core.grammar import GrammarError, vocabulary
from voicebot.core.jsgf import jsgf

BUILDER = "4"
"""Changes whenever the same expectation would give other files."""

_VARIANT = re.compile(r"\(\d+\)$")


@dataclass(frozen=True, slots=True)
class Model:
    """A built model. `stem` is its path without suffix: `<stem>.dict` and `<stem>.arpa` or `<stem>.jsgf`."""

    key: str
    stem: str

    @property
    def dictionary(self) -> Path:
        return Path(self.stem + ".dict")

    @property
    def arpa(self) -> Path:
        return Path(self.stem + ".arpa")

    @property
    def jsgf(self) -> Path:
        return Path(self.stem + ".jsgf")

    def built(self) -> bool:
        """The dictionary is written last."""
        return self.dictionary.exists()


def model_of(expectation: Expectation, pronunciations: Mapping[str, str], folder: str) -> Model:
    """Where the model of an expectation is, or will be once built."""
    made_from = json.dumps(
        [
            BUILDER,
            expectation.mode,
            expectation.bare,
            expectation.phrases,
            expectation.types,
            sorted(pronunciations.items()),
        ]
    )
    key = hashlib.sha256(made_from.encode()).hexdigest()[:24]
    return Model(key, str(Path(folder) / key))


def general(folder: str) -> Model:
    """General English, as the wheel brings it: for what no phrases bound. It hears every second word of a telephone
    call wrong; names may still be found in what it makes of them."""
    from pocketsphinx import get_model_path

    model = Model("general", str(Path(folder) / "general"))
    Path(folder).mkdir(parents=True, exist_ok=True)
    for link, name in ((model.arpa, "en-us/en-us.lm.bin"), (model.dictionary, "en-us/cmudict-en-us.dict")):
        with contextlib.suppress(FileExistsError):
            link.symlink_to(get_model_path(name))
    return model


def build(expectation: Expectation, pronunciations: Mapping[str, str], folder: str) -> Model:
    """Build and write a model; nothing to do where it is there. `GrammarError` for phrases that can't be read."""
    model = model_of(expectation, pronunciations, folder)
    if model.built():
        return model
    Path(folder).mkdir(parents=True, exist_ok=True)
    if expectation.mode is Mode.CLOSED and (rules := _closed(expectation)):
        words = vocabulary(expectation)
        _write(model.jsgf, rules)
    else:
        words = ngram.open_vocabulary(expectation)
        _write(model.arpa, ngram.language_model(expectation))
    lines = (f"{word} {phones}" for word, phones in dictionary(words, pronunciations))
    _write(model.dictionary, "\n".join(lines) + "\n")
    return model


def _closed(expectation: Expectation) -> str:
    """A JSGF grammar, or nothing where written out it would be too large: then a trigram has to do."""
    try:
        return jsgf(expectation)
    except GrammarError:
        vocabulary(expectation)
        return ""


def dictionary(words: Iterable[str], pronunciations: Mapping[str, str]) -> list[tuple[str, str]]:
    """(word, phones), sorted; a second pronunciation is `word(2)`. The dialplan's come first and alone, then the
    CMU dictionary's, then the letter-to-sound fallback's."""
    wanted = set(words)
    found: dict[str, list[str]] = {w: [check_phones(w, p)] for w, p in pronunciations.items() if w in wanted}
    wanted -= set(found)
    if wanted:
        for word, phones in _cmudict(wanted):
            found.setdefault(word, []).append(phones)
    for word in wanted - set(found):
        found[word] = [pronounce.pronounce(word)]
    return [
        (word if at == 1 else f"{word}({at})", phones)
        for word in sorted(found)
        for at, phones in enumerate(dict.fromkeys(found[word]), 1)
    ]


def check_phones(word: str, phones: str) -> str:
    """The phones, or `GrammarError` when one is not of the CMU set (stress digits are dropped)."""
    plain = [re.sub(r"[0-2]$", "", phone.upper()) for phone in phones.split()]
    unknown = [phone for phone in plain if phone not in pronounce.PHONES]
    if unknown or not plain:
        raise GrammarError(f"The pronunciation of {word!r} has unknown sounds {unknown}", phones, 0)
    return " ".join(plain)


def _cmudict(wanted: Set[str]) -> Iterable[tuple[str, str]]:
    """What the dictionary says of these words. It has 135,000: as little as can be is done with each."""
    from pocketsphinx import get_model_path

    with open(get_model_path("en-us/cmudict-en-us.dict"), encoding="utf-8") as lines:
        for line in lines:
            entry = line[: line.find(" ")]
            word = entry if entry[-1:] != ")" else _VARIANT.sub("", entry)
            if word in wanted:
                yield word, line[len(entry) :].strip()


def _write(path: Path, text: str) -> None:
    """Atomically: another process may be building the same."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(name, path)


def to_json(expectation: Expectation, pronunciations: Mapping[str, str]) -> bytes:
    return json.dumps({"expectation": dataclasses.asdict(expectation), "pronounce": dict(pronunciations)}).encode()


def from_json(data: bytes) -> tuple[Expectation, dict[str, str]]:
    """What `to_json` wrote: an expectation and the pronunciations that go with it."""
    read: dict[str, Any] = json.loads(data)
    fields = read["expectation"]
    types = tuple((name, tuple(phrases)) for name, phrases in fields["types"])
    fields |= {"mode": Mode(fields["mode"]), "phrases": tuple(fields["phrases"]), "types": types}
    return Expectation(**(fields | {"hints": tuple(fields["hints"])})), read["pronounce"]


def main() -> int:
    """Build the expectations on standard input, one JSON object a line, into the folder named by the argument."""
    os.nice(10)  # calls may be up
    for line in sys.stdin.buffer:
        try:
            build(*from_json(line), sys.argv[1])
        except GrammarError as error:
            print(error, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

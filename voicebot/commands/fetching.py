"""Files from the network onto disk: resumed where they broke off, checked before they get their name.

A file that is not whole is called `<name>.part`; beside it, `<name>.part.json` says which version of it was begun, so
that a resumed download never joins two versions. What the checksums were is kept in `checksums.json`.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from voicebot.core.catalogue import File, Model
from voicebot.errors import UsageError

CONNECT_S = 15.0
SILENCE_S = 60.0
"""A server that sends nothing for this long has gone."""
CHUNK_BYTES = 1 << 18
CHECKSUMS = "checksums.json"
_SHA256 = re.compile(r"[0-9a-f]{64}")

Progress = Callable[[int, int], None]
"""Bytes that are here, of how many (0: not known)."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a file's checksum should be."""

    sha256: str
    source: str
    """`catalogue`, `server` (it named one in its answer), or `seen` (nobody named one: what came the first time)."""


def fetch(model: Model, root: Path, progress: Progress) -> list[Known]:
    """All files of a model, those that are there already left out. `UsageError` when one cannot be had; what came of
    it stays for the next try, unless its checksum is wrong."""
    root.mkdir(parents=True, exist_ok=True)
    with (
        _alone(root),
        httpx.Client(follow_redirects=True, timeout=httpx.Timeout(SILENCE_S, connect=CONNECT_S)) as client,
    ):
        return [_file(client, model, file, root, progress) for file in model.files if not (root / file.path).exists()]


def known(root: Path) -> dict[str, Known]:
    """Checksums of what was fetched, by path below `root`."""
    try:
        read = json.loads((root / CHECKSUMS).read_text("utf-8"))
        return {path: Known(entry["sha256"], entry["source"]) for path, entry in read.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{root / CHECKSUMS} cannot be read ({error!r}). Delete it and fetch the models again."
        ) from None


def sha256_of(path: Path) -> str:
    """Hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _file(client: httpx.Client, model: Model, file: File, root: Path, progress: Progress) -> Known:
    target = root / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    try:
        said = _download(client, file.url, part, progress)
    except httpx.HTTPStatusError as error:
        raise UsageError(f"{file.url} answered {error.response.status_code}. Nothing was fetched.") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        why = str(error) or type(error).__name__
        raise UsageError(
            f"{model.name} could not be fetched: {why}. Is there a network? What came so far is kept, and the next "
            f"`voicebot models get {model.name}` goes on from there; or bring the file to {target} yourself."
        ) from None
    expected = Known(file.sha256, "catalogue") if file.sha256 else Known(said, "server")
    found = sha256_of(part)
    if expected.sha256 and found != expected.sha256:
        _discard(part)
        raise UsageError(f"{file.url} does not have the checksum that its {expected.source} names; it was thrown away.")
    checked = expected if expected.sha256 else Known(found, "seen")
    if model.unpack:
        _unpack(part, target)
        _remember(root, {str(each.relative_to(root)): Known(sha256_of(each), "seen") for each in target.iterdir()})
    else:
        os.replace(part, target)
        _remember(root, {file.path: checked})
    _discard(part)
    return checked


def _download(client: httpx.Client, url: str, part: Path, progress: Progress) -> str:
    """Bring `part` to its full length. The SHA-256 that the server names, or nothing."""
    version, have = _begun(part)
    headers = {"Range": f"bytes={have}-", "If-Range": version} if have else {}
    headers["Accept-Encoding"] = "identity"
    with client.stream("GET", url, headers=headers) as answer:
        if answer.status_code == 416:  # it has no more than we have, or is another one by now
            _discard(part)
            raise httpx.ReadError("the file has changed meanwhile", request=answer.request)
        answer.raise_for_status()
        resumed = answer.status_code == 206 and answer.headers.get("content-range", "").startswith(f"bytes {have}-")
        at = have if resumed else 0
        total = at + int(answer.headers.get("content-length", 0))
        _note(part, answer)
        with part.open("ab" if resumed else "wb") as out:
            for chunk in answer.iter_bytes(CHUNK_BYTES):
                out.write(chunk)
                at += len(chunk)
                progress(at, total)
        if total and at != total:
            raise httpx.ReadError(f"the connection broke off after {at} of {total} bytes", request=answer.request)
        return _named(answer)


def _named(answer: httpx.Response) -> str:
    """The SHA-256 in the headers of the answer or of a redirect on the way: model hubs name it there."""
    for each in (*answer.history, answer):
        value = each.headers.get("x-linked-etag", "").strip('"')
        if _SHA256.fullmatch(value):
            return str(value)
    return ""


def _begun(part: Path) -> tuple[str, int]:
    """(version, bytes) of a download that broke off; nothing where the server named no version."""
    try:
        version = json.loads(part.with_name(part.name + ".json").read_text("utf-8"))["version"]
        have = part.stat().st_size
    except (OSError, ValueError, KeyError, TypeError):
        return "", 0
    return (str(version), have) if version and have else ("", 0)


def _note(part: Path, answer: httpx.Response) -> None:
    strong = answer.headers.get("etag", "")
    version = strong if strong and not strong.startswith("W/") else answer.headers.get("last-modified", "")
    part.with_name(part.name + ".json").write_text(json.dumps({"version": version}), "utf-8")


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    part.with_name(part.name + ".json").unlink(missing_ok=True)


def _unpack(archive: Path, target: Path) -> None:
    """The archive's files, without its folders, into `target`. `UsageError` when it is none."""
    fresh = target.with_name(target.name + ".unpacking")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        with zipfile.ZipFile(archive) as packed:
            for entry in packed.infolist():
                name = Path(entry.filename).name  # its name alone: an archive may not choose a place
                if not entry.is_dir() and name and not name.startswith("."):
                    with packed.open(entry) as source, (fresh / name).open("wb") as out:
                        shutil.copyfileobj(source, out)
    except zipfile.BadZipFile:
        shutil.rmtree(fresh, ignore_errors=True)
        _discard(archive)
        raise UsageError(f"{archive.name} is no ZIP archive; it was thrown away.") from None
    os.replace(fresh, target)


def _remember(root: Path, new: dict[str, Known]) -> None:
    entries = known(root) | new
    text = json.dumps({path: {"sha256": k.sha256, "source": k.source} for path, k in sorted(entries.items())}, indent=1)
    beside = root / (CHECKSUMS + ".new")
    beside.write_text(text + "\n", "utf-8")
    os.replace(beside, root / CHECKSUMS)


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Nobody else fetches into this folder. `UsageError` when somebody does."""
    with (root / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(f"Another `voicebot models get` is at work in {root}.") from None
        yield

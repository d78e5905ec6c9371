"""Twilio's signature of a request: base64(HMAC-SHA1(auth token, URL + sorted names and values of the form)). Pure.

Twilio, "Webhooks security": the URL is the one that was configured, query included; every POST parameter's name and
value follow, without delimiters, sorted by name. A name that comes twice counts once for each different value. Twilio
is not of one mind on whether the default port is part of the URL, so both are right; on the upgrade of a media stream
the URL is signed as `wss:`, by some edges as `https:`, with or without a slash at its end.
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Iterable, Iterator
from hashlib import sha1
from urllib.parse import SplitResult, urlsplit

DEFAULT_PORTS = {"https": 443, "wss": 443, "http": 80, "ws": 80}
_OTHER_SCHEME = {"wss": "https", "ws": "http"}


def signature(token: str, url: str, form: Iterable[tuple[str, str]] = ()) -> str:
    """What `X-Twilio-Signature` must hold for a request to exactly this URL. `form`: decoded names and values."""
    text = url + "".join(name + value for name, value in sorted(set(form)))
    return b64encode(hmac.new(token.encode(), text.encode("utf-8", "surrogatepass"), sha1).digest()).decode()


def valid(token: str, url: str, form: Iterable[tuple[str, str]], given: str) -> bool:
    """Whether Twilio signed this request: constant time, and False for everything while there is no token."""
    if not token:
        return False
    pairs, shown = tuple(form), given.encode("utf-8", "surrogatepass")
    found = [hmac.compare_digest(signature(token, each, pairs).encode(), shown) for each in _spellings(url)]
    return any(found)


def _spellings(url: str) -> Iterator[str]:
    """Every way in which Twilio may have spelled the URL it signed."""
    yield url
    parts = urlsplit(url)
    for scheme in filter(None, (parts.scheme, _OTHER_SCHEME.get(parts.scheme))):
        spelled = parts._replace(scheme=scheme)
        paths = [spelled.path]
        if parts.scheme in _OTHER_SCHEME:
            paths.append(spelled.path.removesuffix("/") if spelled.path.endswith("/") else spelled.path + "/")
        for path in paths:
            yield from _with_and_without_port(spelled._replace(path=path))


def _with_and_without_port(parts: SplitResult) -> Iterator[str]:
    yield parts.geturl()
    default = DEFAULT_PORTS.get(parts.scheme)
    if parts.port is None:
        yield parts._replace(netloc=f"{parts.netloc}:{default}").geturl()
    else:
        yield parts._replace(netloc=parts.netloc.rpartition(":")[0]).geturl()

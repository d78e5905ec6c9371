"""What the engines share that speak to OpenAI, or to any server with its API: the client, its errors in our words."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from voicebot.errors import PeerError, UsageError

CONNECT_S = 1.5
KEEP_S = 55.0
"""An idle connection is kept this long, past any turn of a caller; the client's own five seconds are not."""
WARM_S = 3.0
LONGEST_RETRY_AFTER_S = 1.0
"""A caller waits no longer for a server that is busy."""
RETRY_S = 0.2


def lack() -> str | None:
    """None when the client can run here, else what it needs."""
    if importlib.util.find_spec("openai") is None:
        return "Install the openai package."
    names = ("VOICEBOT_OPENAI_API_KEY", "OPENAI_API_KEY", "VOICEBOT_OPENAI_BASE_URL", "OPENAI_BASE_URL")
    if not any(os.environ.get(name) for name in names):
        return "Set OPENAI_API_KEY, or OPENAI_BASE_URL for another server that speaks its protocol."
    return None


def access(options: Mapping[str, Any], engine: str) -> tuple[str, str]:
    """(API key, base URL) of the options or the environment. `UsageError` when there is neither."""
    key = str(options.get("api_key") or _from_environment("OPENAI_API_KEY"))
    base_url = str(options.get("base_url") or _from_environment("OPENAI_BASE_URL"))
    if not key and not base_url:
        raise UsageError(f"The {engine} has no key. Set OPENAI_API_KEY, or OPENAI_BASE_URL for another server.")
    return key, base_url


def _from_environment(name: str) -> str:
    return os.environ.get(f"VOICEBOT_{name}") or os.environ.get(name) or ""


def known(options: Mapping[str, Any], names: frozenset[str], engine: str) -> None:
    """`UsageError` for an option that there is not."""
    if unknown := sorted(set(options) - names):
        raise UsageError(f"{engine} has no option {unknown[0]!r}. Use one of: {', '.join(sorted(names))}.")


def new_client(key: str, base_url: str) -> Any:
    """An `openai.AsyncOpenAI`, which asks once and waits for nobody. The import takes about a second the first time, so
    never during a call."""
    import httpx2
    import openai

    limits = httpx2.Limits(max_connections=1000, max_keepalive_connections=100, keepalive_expiry=KEEP_S)
    return openai.AsyncOpenAI(
        api_key=key or "none",
        base_url=base_url or None,
        max_retries=0,
        timeout=openai.Timeout(60.0, connect=CONNECT_S),
        http_client=openai.DefaultAsyncHttpxClient(limits=limits),
    )


async def warm(client: Any, who: str) -> None:
    """Have a connection open before the first sentence needs it, by asking for the list of models: it costs nothing.
    A server without one is as warm. `PeerError` when the server cannot be reached, or does not take the key."""
    import httpx2
    import openai

    try:
        async with asyncio.timeout(WARM_S):
            await client.get("/models", cast_to=httpx2.Response)
    except TimeoutError:
        raise PeerError(f"{who} did not answer in time.") from None
    except openai.APIStatusError as error:
        if error.status_code in (401, 403):
            raise peer_error(error, who) from None
    except Exception as error:
        raise peer_error(error, who) from None


def retry_after_s(error: Exception) -> float | None:
    """How long to wait before the one retry; None when a retry makes no sense or would take too long."""
    import openai

    if isinstance(error, openai.APIConnectionError):
        return None if isinstance(error, openai.APITimeoutError) else RETRY_S
    if not isinstance(error, openai.APIStatusError) or not _passes(error):
        return None
    try:
        asked_s = float(error.response.headers.get("retry-after", RETRY_S))
    except ValueError:
        return None  # a date: longer than a caller waits
    return max(0.0, asked_s) if asked_s <= LONGEST_RETRY_AFTER_S else None


def _passes(error: Any) -> bool:
    """Whether an `openai.APIStatusError` may be gone at another try."""
    status: int = error.status_code
    return (status in (408, 409, 429) or status >= 500) and error.code != "insufficient_quota"


def peer_error(error: Exception, who: str) -> PeerError:
    """In our words: the client's may hold what was sent. `who` is "The language model", "The voice" …"""
    import openai

    if isinstance(error, PeerError):
        return error
    if isinstance(error, openai.APIStatusError):
        return PeerError(f"{who}'s server answered {error.status_code}.", retryable=_passes(error))
    if isinstance(error, openai.APIConnectionError):
        return PeerError(f"{who}'s server cannot be reached.", retryable=True)
    return PeerError(f"{who} broke off ({type(error).__name__}).", retryable=True)


async def ask(request: Callable[[], Any], due: float, who: str) -> Any:
    """Send what `request` makes, a `with_streaming_response` call. It comes back entered, its head there: the response,
    to be closed with `await response.close()`. Asked a second time when the server said that it helps. `PeerError` when
    it refuses, or is not there by `due` on the loop's clock."""
    last = False
    while True:
        try:
            async with asyncio.timeout_at(due):
                return await request().__aenter__()
        except TimeoutError:
            raise PeerError(f"{who} did not answer in time.") from None
        except Exception as error:  # the client raises its own, and the HTTP library's
            wait_s = None if last else retry_after_s(error)
            if wait_s is None:
                raise peer_error(error, who) from None
        last = True
        await asyncio.sleep(wait_s)


async def next_bytes(chunks: AsyncIterator[bytes], due: float, who: str) -> bytes | None:
    """The next piece of a body, None at its end."""
    try:
        async with asyncio.timeout_at(due):
            return await anext(chunks, None)
    except TimeoutError:
        raise PeerError(f"{who} fell silent.") from None
    except Exception as error:
        raise peer_error(error, who) from None

"""Speech to speech by Gemini Live, through Google's own client: 16 kHz in, 24 kHz out, faster than real time.

Who decides the turn is a choice. `ours`: the session is opened without activity detection, and the call says when the
caller begins and has finished. While the model speaks, a beginning is kept back until the call takes the floor from it
with `cut`: a cough interrupts nothing. `engine`: the server hears it all and decides.

A connection lives about ten minutes, a session as long as a call: the server says when it goes, and the session goes on
in another connection in a quiet moment. Where that cannot be, the call opens a new one with what was heard so far.

Options (`engines.options.s2s_gemini_live` of a dialplan):

    api_key             default: GEMINI_API_KEY or GOOGLE_API_KEY of the environment
    model               default `gemini-3.8-live`
    voice               one of Google's, `Kore` for instance
    project, location   use Vertex AI, with the machine's own credentials
    base_url, ca_file   another server, and the certificate that vouches for it
    start_sensitivity, end_sensitivity, prefix_ms, silence_ms    their activity detection: `high` or `low`, and times
    tools               `blocking` (default: the model waits for a tool) or `non_blocking` (it talks on meanwhile)
    scheduling          of a result nobody waited for: `when_idle` (default), `interrupt` or `silent`
    temperature
    compress            false: the oldest of a long call is not left out; the session then ends after 15 minutes
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import ssl
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from voicebot.core.duplex import Abilities, AudioFormat, Coding, Context, Decides
from voicebot.engines.base import EngineConfig
from voicebot.engines.gemini_link import RATE_IN, Link, Manner, connect, settings
from voicebot.engines.gemini_session import GeminiSession
from voicebot.engines.gemini_turns import RATE_OUT
from voicebot.engines.openai_client import known
from voicebot.errors import UsageError

DEFAULT_MODEL = "gemini-3.8-live"
_KEYS = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
_OPTIONS = frozenset(
    "api_key model voice project location base_url ca_file start_sensitivity end_sensitivity prefix_ms silence_ms "
    "tools scheduling temperature compress".split()
)


def check() -> str | None:
    """None when it can run here, else what it needs."""
    return check_for({})


def check_for(options: Mapping[str, Any]) -> str | None:
    """The same, with a dialplan's options."""
    if importlib.util.find_spec("google") is None or importlib.util.find_spec("google.genai") is None:
        return "Install voicebot[gemini] (google-genai)."
    if not options.get("api_key") and not options.get("project") and not any(map(os.environ.get, _KEYS)):
        return "Set GEMINI_API_KEY, or give a dialplan's gemini_live an api_key or a project of Vertex AI."
    return None


def create(config: EngineConfig) -> GeminiDuplex:
    """`UsageError` for an unknown option or value, or when there is no key."""
    options = config.options
    known(options, _OPTIONS, "The speech-to-speech engine gemini_live")
    key = str(options.get("api_key") or next(filter(None, map(os.environ.get, _KEYS)), ""))
    if not key and not options.get("project"):
        raise UsageError("The speech-to-speech engine gemini_live has no key. Set GEMINI_API_KEY.")
    return GeminiDuplex(key, options, config.voice)


class GeminiDuplex:
    """The engine, one client for all calls."""

    abilities = Abilities(
        AudioFormat(Coding.PCM16, RATE_IN), AudioFormat(Coding.PCM16, RATE_OUT), (Decides.OURS, Decides.ENGINE)
    )

    def __init__(self, key: str, options: Mapping[str, Any], voice: str) -> None:
        self._key, self._options = key, dict(options)
        self._model = str(options.get("model") or DEFAULT_MODEL)
        self._manner = Manner(
            voice or str(options.get("voice") or ""),
            "blocking" == _one_of(options, "tools", ("blocking", "non_blocking")),
            _one_of(options, "scheduling", ("when_idle", "interrupt", "silent")).upper(),
            _detection(options),
            None if options.get("temperature") is None else float(options["temperature"]),
            bool(options.get("compress", True)),
        )
        self._client: Any = None

    async def start(self) -> None:
        """Make the client ready; nothing is sent."""
        self._client = await asyncio.to_thread(self._new_client)

    def _new_client(self) -> Any:
        from google import genai

        http: Any = {}
        if base_url := self._options.get("base_url"):
            http["base_url"] = str(base_url)
        if ca_file := self._options.get("ca_file"):
            http["async_client_args"] = {"ssl": ssl.create_default_context(cafile=str(ca_file))}
        if project := self._options.get("project"):
            location = str(self._options.get("location") or "us-central1")
            return genai.Client(vertexai=True, project=str(project), location=location, http_options=http)
        client = genai.Client(api_key=self._key, http_options=http)
        _ = client.aio.live  # imported when it is first touched
        return client

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aio.aclose()

    async def open(self, context: Context) -> GeminiSession:
        """Connected, and told the history."""
        manner = replace(self._manner, detection=None) if context.decides is Decides.OURS else self._manner

        async def linked(now: Context, handle: str) -> Link:
            history = () if handle else now.history
            return await connect(self._client, self._model, settings(manner, now, handle), history)

        return GeminiSession(manner, context, await linked(context, ""), linked)


def _detection(options: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, prefix in (("start_sensitivity", "START"), ("end_sensitivity", "END")):
        if name in options:
            level = _one_of(options, name, ("high", "low")).upper()
            found[f"{name.partition('_')[0]}_of_speech_sensitivity"] = f"{prefix}_SENSITIVITY_{level}"
    for name, theirs in (("prefix_ms", "prefix_padding_ms"), ("silence_ms", "silence_duration_ms")):
        if name in options:
            found[theirs] = int(options[name])
    return found


def _one_of(options: Mapping[str, Any], name: str, values: tuple[str, ...]) -> str:
    value = str(options.get(name) or values[0]).lower()
    if value not in values:
        raise UsageError(f"The {name} of gemini_live is {' or '.join(values)}, not {value!r}.")
    return value

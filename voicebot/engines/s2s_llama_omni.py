"""Speech to speech by LLaMA-Omni and LLaMA-Omni2, through their own controller and workers.

Half duplex, turn by turn: the call finds the end of the caller's turn, the worker answers with text and units of a
codec while it goes, and a vocoder makes them audible. It knows no tools, and nothing can be asked of it but to answer
what was said: greetings, notices, keys and transfers are the call's. The first version hears each turn by itself; the
second one hears the last turns again each time. English, the second one Chinese as well.

The weights of both are for research only: commercial use is not allowed. The code is under the Apache License 2.0.

Options (`engines.options.s2s_llama_omni` of a dialplan):

    licence         `research`: says that you know this, and is needed
    version         1 (default) or 2
    controller      default `http://127.0.0.1:10000`
    model           the worker's name for it; default: the one that the controller has
    vocoder         of version 1: the folder with the unit vocoder, `g_00500000` and its `config.json`; needs torch
    device          where it runs, `cpu` or `cuda`
    vocoder_url     a server that vocodes instead (version 2 needs one: deploy/llama_omni2_vocoder.py)
    utterances      of version 2: a folder that the worker sees as well, or `http://ADDRESS:PORT` of ours
    turns           of version 2: how many turns of the call it hears again (5)
    chunk_units     that are made audible together (40 and 10)
    temperature, top_p, max_new_tokens      0, 0.7, 512
    first_s, gap_s  deadlines: first answer (4), each piece after it (4)
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Mapping
from typing import Any

import httpx

from voicebot.core.duplex import Abilities, AudioFormat, Coding, Context, Decides
from voicebot.core.llama_omni import Sampling
from voicebot.engines.base import EngineConfig
from voicebot.engines.llama_omni_session import RATE_IN, LlamaOmniSession, Worker
from voicebot.engines.openai_client import known
from voicebot.engines.unit_speech import LocalVocoder, Vocoder, VocoderServer
from voicebot.engines.utterance_shelf import Shelf
from voicebot.errors import PeerError, UsageError

WHO = "LLaMA-Omni"
DEFAULT_CONTROLLER = "http://127.0.0.1:10000"
LICENCE = "its weights are for research only, commercial use is not allowed"
CONNECT_S = 1.2
RATES = {1: 16000, 2: 24000}
_OPTIONS = frozenset(
    "licence version controller model vocoder device vocoder_url utterances turns chunk_units temperature top_p "
    "max_new_tokens first_s gap_s".split()
)


def check() -> str | None:
    """None when it can run here, else what it needs."""
    return check_for({})


def check_for(options: Mapping[str, Any]) -> str | None:
    """The same, with a dialplan's options."""
    if not options.get("vocoder_url") and importlib.util.find_spec("torch") is None:
        return f"Install torch for its vocoder, or give it a vocoder_url. Mind that {LICENCE}."
    return None


def create(config: EngineConfig) -> LlamaOmniDuplex:
    """`UsageError` for an unknown option or value, or for one that is missing."""
    options = config.options
    known(options, _OPTIONS, "The speech-to-speech engine llama_omni")
    if options.get("licence") != "research":
        raise UsageError(f"Of LLaMA-Omni know that {LICENCE}. Where that is so, set its option licence to research.")
    version = options.get("version", 1)
    if version not in RATES:
        raise UsageError(f"The version of llama_omni is 1 or 2, not {version!r}.")
    if version == 2 and not (options.get("utterances") and options.get("vocoder_url")):
        raise UsageError("LLaMA-Omni2 needs utterances, where its worker finds what was said, and a vocoder_url.")
    if version == 1 and not (options.get("vocoder") or options.get("vocoder_url")):
        raise UsageError("LLaMA-Omni needs a vocoder, the folder of its checkpoint, or a vocoder_url.")
    return LlamaOmniDuplex(version, options)


class LlamaOmniDuplex:
    """The engine: one client, one vocoder and one shelf for all calls."""

    def __init__(self, version: int, options: Mapping[str, Any]) -> None:
        self._controller = str(options.get("controller") or DEFAULT_CONTROLLER).rstrip("/")
        self._model = str(options.get("model") or "")
        self._version, self._options = version, options
        gives = AudioFormat(Coding.TOKENS, RATES[version])
        self.abilities = Abilities(AudioFormat(Coding.PCM16, RATE_IN), gives, (Decides.OURS,), obeys=False)
        self._client: httpx.AsyncClient | None = None
        self._vocoder: Vocoder
        if url := options.get("vocoder_url"):
            self._vocoder = VocoderServer(str(url), RATES[version])
        else:
            self._vocoder = LocalVocoder(str(options["vocoder"]), str(options.get("device") or "cpu"))
        self._shelf = Shelf(str(options["utterances"])) if version == 2 else None

    async def start(self) -> None:
        """Load the vocoder. `PeerError` when that does not work."""
        self._client = httpx.AsyncClient(timeout=httpx.Timeout(60.0, connect=CONNECT_S))
        if self._shelf:
            await self._shelf.start()
        await self._vocoder.start()

    async def close(self) -> None:
        await self._vocoder.close()
        if self._shelf:
            await self._shelf.close()
        if self._client:
            await self._client.aclose()

    async def open(self, context: Context) -> LlamaOmniSession:
        """The controller is there, and has the model."""
        assert self._client is not None
        models = await self._models(self._client)
        model = self._model or next(iter(models), "")
        if model not in models:
            raise PeerError(f"{WHO}'s controller has no worker for {model or 'any model'}.")
        options = self._options
        worker = Worker(
            client=self._client,
            controller=self._controller,
            model=model,
            sampling=Sampling(
                float(options.get("temperature", 0.0)),
                float(options.get("top_p", 0.7)),
                int(options.get("max_new_tokens", 512)),
            ),
            first_s=float(options.get("first_s", 4.0)),
            gap_s=float(options.get("gap_s", 4.0)),
            chunk_units=int(options.get("chunk_units") or {1: 40, 2: 10}[self._version]),
            turns=int(options.get("turns", 5)),
        )
        return LlamaOmniSession(worker, self._vocoder, self._shelf, context)

    async def _models(self, client: httpx.AsyncClient) -> list[str]:
        try:
            async with asyncio.timeout(CONNECT_S):
                answer = await client.post(f"{self._controller}/list_models")
                return [str(each) for each in answer.raise_for_status().json()["models"]]
        except TimeoutError:
            raise PeerError(f"{WHO}'s controller did not answer in time.", retryable=True) from None
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise PeerError(f"{WHO}'s controller cannot be used ({type(error).__name__}).", retryable=True) from None

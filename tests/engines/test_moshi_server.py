"""Our client against Kyutai's own server, with a tiny checkpoint on a CPU.

It needs a Python with moshi in it, which MOSHI_PYTHON names; its pins are not ours, so that is another environment.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.duplex_caller import calling
from voicebot.core.duplex import Context, ReplyBegan, ReplyText
from voicebot.engines import s2s_moshi
from voicebot.engines.base import EngineConfig
from voicebot.errors import PeerError

PYTHON = os.environ.get("MOSHI_PYTHON") or (sys.executable if importlib.util.find_spec("moshi") else "")
pytestmark = [
    pytest.mark.skipif(not PYTHON, reason="MOSHI_PYTHON names no Python with moshi (deploy/speech-to-speech.md)"),
    pytest.mark.timeout(240),
]
ROOT = Path(__file__).parents[2]
SERVE = """
import runpy, sys, torch
torch.cuda.synchronize = lambda *a, **k: None  # the one thing that keeps it from a CPU
runpy.run_module("moshi.server", run_name="__main__")
"""
QUIET = {"NO_TORCH_COMPILE": "1", "NO_CUDA_GRAPH": "1", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("moshi")
    environment = os.environ | QUIET
    making = [PYTHON, str(ROOT / "tests/engines/tiny_moshi.py"), str(folder)]
    subprocess.run(making, env=environment, check=True, timeout=120)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    files = {"moshi-weight": "moshi.safetensors", "mimi-weight": "mimi.safetensors", "tokenizer": "tokenizer.model"}
    arguments = ["--hf-repo", "local/none", "--config-path", str(folder / "config.json"), "--device", "cpu"]
    arguments += [part for name, file in files.items() for part in (f"--{name}", f"file://{folder / file}")]
    log = (folder / "log").open("wb")
    server = subprocess.Popen(
        [PYTHON, "-c", SERVE, *arguments, "--static", "none", "--port", str(port), "--host", "127.0.0.1"],
        env=environment, stdout=log, stderr=log,
    )  # fmt: skip
    try:
        _wait(server, port, folder / "log")
        yield f"ws://127.0.0.1:{port}/api/chat"
    finally:
        server.kill()
        server.wait()


def _wait(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    import time

    for _ in range(600):
        assert server.poll() is None, log.read_text()[-2000:]
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(log.read_text()[-2000:])


async def test_it_greets_hears_and_speaks(url: str) -> None:
    engine = s2s_moshi.create(EngineConfig(options={"url": url, "lag_s": 20}))
    await engine.start()
    async with calling(engine) as caller:
        await caller.say(1500)
        await caller.until(lambda _: caller.audio_ms() >= 2000, 60)
        assert caller.gone is None
        assert caller.of(ReplyBegan)
        assert caller.of(ReplyText)


async def test_while_one_call_has_it_another_finds_it_busy_and_then_free(url: str) -> None:
    engine = s2s_moshi.create(EngineConfig(options={"url": url, "lag_s": 20}))
    await engine.start()
    async with calling(engine):
        with pytest.raises(PeerError, match="busy with another call"):
            await engine.open(Context(""))
    await asyncio.sleep(0.5)
    async with calling(engine) as caller:
        await caller.until(lambda _: caller.audio_ms() > 0, 60)

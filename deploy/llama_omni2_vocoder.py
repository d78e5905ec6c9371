"""LLaMA-Omni2's vocoder with an address, for `s2s_llama_omni` (`vocoder_url`). Runs in the environment of its worker:

    python llama_omni2_vocoder.py --vocoder-dir models/cosy2_decoder --prompt llama_omni2/inference/prompt_en.wav

It speaks in the voice of the prompt. Written from the sources of LLaMA-Omni2; it has not been run with its weights.
"""

from __future__ import annotations

import argparse
import sys
from collections import OrderedDict

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, Response
from pydantic import BaseModel, Field

MOST_SESSIONS = 64
"""Replies that go on at once; of those that were cut nobody tells."""


class Asked(BaseModel):
    session: str = Field(max_length=64)
    units: list[int] = Field(max_length=4096)
    finalize: bool = False


def application(decoder, prompt) -> FastAPI:
    app, sessions = FastAPI(), OrderedDict()

    @app.post("/vocode")
    def vocode(asked: Asked) -> Response:  # in a thread: one after the other is enough for a GPU
        session = sessions.pop(asked.session, None) or decoder.init_prompt(prompt)
        speech = None
        if asked.units or asked.finalize:
            units = torch.tensor(asked.units, dtype=torch.long, device="cuda")
            speech, session = decoder.process_unit_chunk(units, session, finalize=asked.finalize)
        if not asked.finalize:
            sessions[asked.session] = session
            while len(sessions) > MOST_SESSIONS:
                sessions.popitem(last=False)
        samples = np.zeros(0) if speech is None else speech.reshape(-1).float().cpu().numpy()
        pcm = np.clip(np.rint(samples * 32767), -32768, 32767).astype("<i2").tobytes()
        return Response(pcm, media_type="audio/pcm;rate=24000")

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vocoder-dir", required=True)
    parser.add_argument("--prompt", required=True, help="WAV file of the voice")
    parser.add_argument("--hop-len", type=int, default=10)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=40100)
    args = parser.parse_args()
    sys.path.append("third_party/Matcha-TTS")
    from cosyvoice.utils.file_utils import load_wav
    from llama_omni2.serve.flow_inference import SpeechDecoder

    decoder = SpeechDecoder(model_dir=args.vocoder_dir, hop_len=args.hop_len, load_onnx=False)
    uvicorn.run(application(decoder, load_wav(args.prompt, 16000)), host=args.host, port=args.port)


if __name__ == "__main__":
    main()

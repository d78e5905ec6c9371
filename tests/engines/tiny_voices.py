"""Voices with random weights, megabytes small, so that the real loading and synthesis code runs. They speak noise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def piper(file: Path) -> None:
    """Piper's own network, exported as its trainer exports it; its settings beside it."""
    import torch
    from piper.phoneme_ids import DEFAULT_PHONEME_ID_MAP
    from piper.train.vits.models import SynthesizerTrn

    torch.manual_seed(0)
    net: Any = SynthesizerTrn(
        n_vocab=256, spec_channels=513, segment_size=32, inter_channels=16, hidden_channels=16, filter_channels=32,
        n_heads=2, n_layers=1, kernel_size=3, p_dropout=0.0, resblock="2", resblock_kernel_sizes=(3,),
        resblock_dilation_sizes=((1, 2),), upsample_rates=(8, 8, 4), upsample_initial_channel=32,
        upsample_kernel_sizes=(16, 16, 8), n_speakers=1, gin_channels=0, use_sdp=False,
    )  # fmt: skip
    net.eval()
    with torch.no_grad():
        net.dec.remove_weight_norm()

    def forward(text: Any, lengths: Any, scales: Any, sid: Any = None) -> Any:
        audio = net.infer(
            text, lengths, noise_scale=scales[0], length_scale=scales[1], noise_scale_w=scales[2], sid=sid
        )
        return audio[0].unsqueeze(1)

    net.forward = forward
    example = (torch.randint(0, 256, (1, 50)), torch.LongTensor([50]), torch.FloatTensor([0.667, 1.0, 0.8]), None)
    torch.onnx.export(
        net, example, str(file), opset_version=15, input_names=["input", "input_lengths", "scales"],
        output_names=["output"], dynamo=False,
        dynamic_axes={"input": {0: "b", 1: "t"}, "input_lengths": {0: "b"}, "output": {0: "b", 2: "time"}},
    )  # fmt: skip
    settings = {
        "audio": {"sample_rate": 22050}, "espeak": {"voice": "en-us"}, "phoneme_type": "espeak", "num_symbols": 256,
        "num_speakers": 1, "inference": {"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8},
        "phoneme_id_map": DEFAULT_PHONEME_ID_MAP,
    }  # fmt: skip
    Path(f"{file}.json").write_text(json.dumps(settings))


def coqui(folder: Path) -> None:
    """A VITS as Coqui's trainer saves it. Run where torchaudio can be imported or is stood in for."""
    import torch
    from TTS.config.shared_configs import BaseAudioConfig
    from TTS.tts.configs.shared_configs import CharactersConfig
    from TTS.tts.configs.vits_config import VitsArgs, VitsConfig
    from TTS.tts.models.vits import Vits

    torch.manual_seed(0)
    size = VitsArgs(
        hidden_channels=16, hidden_channels_ffn_text_encoder=32, num_heads_text_encoder=2, num_layers_text_encoder=1,
        num_layers_posterior_encoder=2, num_layers_flow=1, upsample_initial_channel_decoder=32, use_sdp=False,
        init_discriminator=False,
    )  # fmt: skip
    characters = CharactersConfig(
        characters_class="TTS.tts.models.vits.VitsCharacters", pad="_", eos="", bos="", blank="<BLNK>",
        characters="abcdefghijklmnopqrstuvwxyz0123456789", punctuations="!'(),-.:;? ", phonemes="",
    )  # fmt: skip
    audio = BaseAudioConfig(sample_rate=22050, hop_length=256, win_length=1024, fft_size=1024, num_mels=80)
    config = VitsConfig(
        model_args=size, audio=audio, text_cleaner="basic_cleaners", use_phonemes=False, characters=characters
    )
    model: Any = Vits.init_from_config(config)
    model.config.save_json(str(folder / "config.json"))
    torch.save({"model": model.state_dict()}, folder / "model.pth")


if __name__ == "__main__":
    import sys

    from voicebot.engines.coqui_program import stand_in

    stand_in()
    coqui(Path(sys.argv[1]))

"""Whisper checkpoints with random weights, megabytes small, so that the real loading and decoding code runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def openai_whisper(file: Path) -> None:
    """A multilingual checkpoint as OpenAI's loader reads it."""
    import torch
    from whisper.model import ModelDimensions, Whisper

    torch.manual_seed(0)
    dims = ModelDimensions(80, 1500, 64, 2, 1, 51865, 448, 64, 2, 1)
    model = Whisper(dims)
    # Upstream leaves it uninitialised (torch.empty), which gives NaN.
    torch.nn.init.normal_(model.decoder.positional_embedding, std=0.02)
    model.decoder.token_embedding.weight.data[50257:] = 0  # or it would say nothing but marks
    torch.save({"dims": vars(dims), "model_state_dict": model.half().state_dict()}, file)


def faster_whisper(folder: Path, work: Path) -> None:
    """The same kind of model by way of transformers and CTranslate2's converter; its tokenizer is Whisper's own."""
    import torch
    from ctranslate2.converters import TransformersConverter
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration
    from whisper.tokenizer import get_tokenizer

    torch.manual_seed(0)
    own = get_tokenizer(True, num_languages=99, language="en", task="transcribe")
    ids = dict.fromkeys(("decoder_start_token_id", "eos_token_id", "pad_token_id", "bos_token_id"), own.eot) | {
        "decoder_start_token_id": own.sot
    }
    config = WhisperConfig(
        vocab_size=51865, d_model=64, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=128, decoder_ffn_dim=128, num_mel_bins=80,
        max_source_positions=1500, max_target_positions=448, **ids,
    )  # fmt: skip
    model = WhisperForConditionalGeneration(config)
    generation: Any = model.generation_config
    special = own.encoding._special_tokens
    generation.alignment_heads = [[0, 0], [0, 1]]
    generation.lang_to_id = {f"<|{code}|>": special[f"<|{code}|>"] for code in own.all_language_codes}
    generation.suppress_tokens, generation.begin_suppress_tokens = [], [220, own.eot]
    model.save_pretrained(work)
    _tokenizer(own).save(str(work / "tokenizer.json"))
    WhisperFeatureExtractor().save_pretrained(work)
    names = dict.fromkeys(("eos_token", "bos_token", "unk_token", "pad_token"), "<|endoftext|>")
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "additional_special_tokens": _specials(own), **names}
    (work / "tokenizer_config.json").write_text(json.dumps(settings))
    TransformersConverter(str(work), copy_files=["tokenizer.json", "preprocessor_config.json"]).convert(
        str(folder), quantization="int8"
    )


def _specials(own: Any) -> list[str]:
    return [text for text, _ in sorted(own.encoding._special_tokens.items(), key=lambda each: each[1])]


def _tokenizer(own: Any) -> Any:
    import whisper
    from transformers.convert_slow_tokenizer import TikTokenConverter

    ranks = Path(whisper.__file__).parent / "assets" / "multilingual.tiktoken"
    converter = TikTokenConverter(
        vocab_file=str(ranks), pattern=own.encoding._pat_str, add_prefix_space=False,
        extra_special_tokens=_specials(own),
    )  # fmt: skip
    made = converter.converted()
    assert own.encoding.encode("hello world") == made.encode("hello world", add_special_tokens=False).ids
    return made

"""What a Translatotron is made of: sizes, spectrograms, phonemes. Plain data, no torch.

Translatotron (arXiv:1904.06037) has the presets `fisher` and `conversational`, Translatotron 2 (arXiv:2107.08661) those
and `covost2`; the sizes are those of the papers' tables. `tiny` is ours: small enough to be trained on one CPU thread.
What the tables leave open (marked "ours") was chosen here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from voicebot.errors import UsageError

PAD, BEGIN, END = 0, 1, 2
SPECIAL = 3
"""Symbols before the phonemes: padding, begin, end."""
RATES = (8000, 16000)
"""What a model that answers telephones may be set to. The papers' targets are 24 kHz."""


@dataclass(frozen=True, slots=True)
class Sound:
    """How speech becomes a spectrogram: natural logarithm of magnitudes, shifted and scaled to about -1..1."""

    rate: int
    bands: int
    """Mel bands; 0: every bin of the transform."""
    window_ms: float = 50.0
    hop_ms: float = 12.5
    fft: int = 2048
    low_hz: float = 60.0
    high_hz: float = 7600.0

    @property
    def hop(self) -> int:
        return round(self.rate * self.hop_ms / 1000)

    @property
    def window(self) -> int:
        return round(self.rate * self.window_ms / 1000)

    @property
    def width(self) -> int:
        """Numbers a frame."""
        return self.bands or self.fft // 2 + 1

    def at(self, rate: int) -> Sound:
        """The same at another rate: the transform as long as the window needs, the bands below half the rate."""
        fft = 1 << (round(rate * self.window_ms / 1000) - 1).bit_length()
        return replace(self, rate=rate, fft=fft, high_hz=min(self.high_hz, rate * 0.4875))


@dataclass(frozen=True, slots=True)
class T1:
    """Translatotron: BLSTM encoder, additive attention, autoregressive spectrogram decoder."""

    source: Sound
    target: Sound
    encoder_layers: int
    encoder_units: int
    """For each direction."""
    decoder_layers: int
    decoder_units: int
    aux_layers: int
    aux_units: int
    aux_source_layer: int
    """Encoder layer (from 1) that the decoder of source phonemes attends to."""
    aux_target_layer: int
    dropout: float
    stack: int = 3
    """Frames put together at the encoder's input."""
    attention_heads: int = 4
    attention_units: int = 128
    """Ours."""
    prenet: tuple[int, ...] = (64, 32)
    """The bottleneck of 32 is the paper's; it calls it critical."""
    reduction: int = 2
    """Frames a decoder step."""
    first_reduction: int = 2
    """… when a training begins: the more, the sooner attending is worth while. The output layer is that wide."""
    postnet_channels: int = 512
    postnet_layers: int = 5
    phoneme_units: int = 96
    """Of the auxiliary decoders' embedding; ours."""
    voice_dims: int = 0
    """Numbers of a speaker's voice put beside every encoder output (the paper's: 16); 0: no speaker encoder."""
    source_phonemes: tuple[str, ...] = ()
    target_phonemes: tuple[str, ...] = ()

    architecture = "translatotron"


@dataclass(frozen=True, slots=True)
class T2:
    """Translatotron 2: Conformer encoder, one attention, phoneme decoder, duration-based synthesiser."""

    source: Sound
    target: Sound
    encoder_layers: int
    encoder_units: int
    encoder_heads: int
    encoder_kernel: int
    attention_units: int
    attention_heads: int
    decoder_layers: int
    decoder_units: int
    phoneme_units: int
    duration_layers: int
    duration_units: int
    """For each direction."""
    acoustic_layers: int
    acoustic_units: int
    prenet: tuple[int, ...]
    postnet_channels: int
    postnet_layers: int
    dropout: float
    zoneout: float
    label_smoothing: float
    phoneme_weight: float
    """Of the phonemes' cross entropy in the loss."""
    reduction: int = 1
    """Frames a step of the acoustic decoder."""
    subsampling_channels: int = 32
    """Of the two convolutions in front, each of stride 2; ours."""
    masked_bands: int = 27
    """SpecAugment (arXiv:1904.08779), policy LibriSpeech basic: at most so many bands, once."""
    masked_frames: int = 100
    target_phonemes: tuple[str, ...] = ()

    architecture = "translatotron2"


Config = T1 | T2

_MEL_80 = Sound(16000, 80, 25.0, 10.0, 512)
_T2_TARGET = Sound(24000, 128, high_hz=11700.0)
_T2_PUBLISHED = T2(
    _MEL_80, _T2_TARGET,
    encoder_layers=16, encoder_units=144, encoder_heads=4, encoder_kernel=32,
    attention_units=512, attention_heads=8,
    decoder_layers=4, decoder_units=512, phoneme_units=256,
    duration_layers=2, duration_units=128,
    acoustic_layers=2, acoustic_units=1024, prenet=(128, 128), postnet_channels=512, postnet_layers=5,
    dropout=0.1, zoneout=0.1, label_smoothing=0.1, phoneme_weight=10.0,
)  # fmt: skip
_TINY = Sound(8000, 64, 50.0, 12.5, 512, high_hz=3900.0)

PRESETS: Mapping[tuple[str, str], Config] = {
    ("translatotron", "conversational"): T1(
        _MEL_80, Sound(24000, 0),
        encoder_layers=8, encoder_units=1024, decoder_layers=6, decoder_units=1024,
        aux_layers=2, aux_units=256, aux_source_layer=8, aux_target_layer=8, dropout=0.2,
    ),
    ("translatotron", "fisher"): T1(
        _MEL_80.at(8000), Sound(24000, 0),
        encoder_layers=8, encoder_units=256, decoder_layers=4, decoder_units=1024,
        aux_layers=3, aux_units=256, aux_source_layer=4, aux_target_layer=6, dropout=0.3,
    ),
    ("translatotron", "tiny"): T1(
        _TINY, _TINY,
        encoder_layers=3, encoder_units=96, decoder_layers=2, decoder_units=256,
        aux_layers=1, aux_units=128, aux_source_layer=2, aux_target_layer=3, dropout=0.1,
        reduction=3, first_reduction=8, postnet_channels=64, phoneme_units=64,
    ),
    ("translatotron2", "conversational"): _T2_PUBLISHED,
    ("translatotron2", "covost2"): replace(_T2_PUBLISHED, decoder_layers=6, dropout=0.2),
    ("translatotron2", "fisher"): replace(
        _T2_PUBLISHED, source=_MEL_80.at(8000), attention_units=256, attention_heads=4, decoder_units=256,
        phoneme_units=96, duration_units=64,
    ),
    ("translatotron2", "tiny"): T2(
        _TINY, _TINY,
        encoder_layers=2, encoder_units=96, encoder_heads=4, encoder_kernel=15,
        attention_units=96, attention_heads=4,
        decoder_layers=2, decoder_units=128, phoneme_units=64,
        duration_layers=1, duration_units=64,
        acoustic_layers=2, acoustic_units=192, prenet=(64, 64), postnet_channels=64, postnet_layers=5,
        dropout=0.0, zoneout=0.0, label_smoothing=0.1, phoneme_weight=1.0, reduction=3,
        subsampling_channels=16, masked_bands=4, masked_frames=4,
    ),
}  # fmt: skip


def preset(architecture: str, name: str, rate: int | None = None) -> Config:
    """As published; with `rate` (8000 or 16000), heard and spoken at that rate. `UsageError` for an unknown one."""
    names = [of for kind, of in PRESETS if kind == architecture]
    if not names:
        kinds = ", ".join(sorted({kind for kind, _ in PRESETS}))
        raise UsageError(f"There is no model {architecture!r}. Use one of: {kinds}.")
    if name not in names:
        raise UsageError(f"{architecture} has no preset {name!r}. Use one of: {', '.join(sorted(names))}.")
    found = PRESETS[architecture, name]
    if rate is None:
        return found
    if rate not in RATES:
        raise UsageError(f"A model's rate is 8000 or 16000, not {rate}.")
    return replace(found, source=found.source.at(rate), target=found.target.at(rate))


def to_json(config: Config) -> dict[str, Any]:
    """For `model.json`."""
    return {"architecture": config.architecture, **asdict(config)}


def from_json(data: Mapping[str, Any]) -> Config:
    """`UsageError` for what is no configuration of ours."""
    kinds: Mapping[str, type[Config]] = {"translatotron": T1, "translatotron2": T2}
    kind = kinds.get(str(data.get("architecture")))
    if kind is None:
        raise UsageError(f"{data.get('architecture')!r} is no architecture known here.")
    given: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
    del given["architecture"]
    if unknown := set(given) - {each.name for each in fields(kind)}:
        raise UsageError(f"The model's settings have keys unknown here: {', '.join(sorted(unknown))}.")
    try:
        given |= {side: Sound(**given[side]) for side in ("source", "target")}
        return kind(**given)
    except (TypeError, KeyError) as error:
        raise UsageError(f"The model's settings are incomplete: {error}.") from None

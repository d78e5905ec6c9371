"""Tiny ONNX models with the signature of smart-turn v3, written as protobuf by hand (onnx.proto has the numbers).

The answer is the sigmoid of the mean of the input; without the sigmoid, the mean itself, which is no probability.
"""

from __future__ import annotations

from pathlib import Path

FLOAT = 1


def varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def tensor(name: str, shape: tuple[int | str, ...]) -> bytes:
    """A ValueInfoProto: a dimension is a number or a name."""
    dims = b"".join(field(1, field(1 if isinstance(size, int) else 2, size)) for size in shape)
    return field(1, name) + field(2, field(1, field(1, FLOAT) + field(2, dims)))


def node(kind: str, source: str, target: str, *attributes: bytes) -> bytes:
    return field(1, source) + field(2, target) + field(4, kind) + b"".join(field(5, each) for each in attributes)


def write(path: Path, bands: int = 80, name: str = "input_features", sigmoid: bool = True) -> Path:
    axes = field(1, "axes") + field(8, 1) + field(8, 2) + field(20, 7)
    keep = field(1, "keepdims") + field(3, 0) + field(20, 2)
    last = "Sigmoid" if sigmoid else "Identity"
    graph = (
        field(1, node("ReduceMean", name, "mean", axes, keep))
        + field(1, node(last, "mean", "logits"))
        + field(2, "turn")
        + field(11, tensor(name, ("batch", bands, 800)))
        + field(12, tensor("logits", ("batch",)))
    )
    path.write_bytes(field(1, 8) + field(7, graph) + field(8, field(2, 13)))
    return path

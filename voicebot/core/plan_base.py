"""What the models of a dialplan share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str | int | float) and not isinstance(value, bool) else value


def switched(value: Any) -> Any:
    """YAML reads a bare `on` or `off` as a truth."""
    return ("on" if value else "off") if isinstance(value, bool) else value


_ONE_OR_MORE = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
Says = Annotated[tuple[str, ...], BeforeValidator(_listed), WithJsonSchema(_ONE_OR_MORE)]
"""One text, or several that take turns."""
Phrases = Annotated[tuple[str, ...], BeforeValidator(_listed), WithJsonSchema(_ONE_OR_MORE)]
"""Example phrases, in the notation of `core.expect`."""


Bandwidth = Annotated[
    Literal["off", "classical", "neural", "auto"], BeforeValidator(lambda value: "off" if value is False else value)
]
"""YAML reads a bare `off` as false."""
Switch = Annotated[Literal["on", "off", "auto"], BeforeValidator(switched)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]

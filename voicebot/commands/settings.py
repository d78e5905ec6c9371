"""`voicebot settings`: every setting, its value, where the value came from, and what it means."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from dotenv import dotenv_values
from pydantic import AliasChoices, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from rich import box
from rich.console import Console
from rich.table import Table

from voicebot.config import Settings
from voicebot.errors import UsageError

PREFIX = "VOICEBOT_"
MASK = "********"


@dataclass(frozen=True, slots=True)
class Row:
    """One setting as it is now."""

    name: str
    """The environment variable that sets it; where there are two, ours."""
    value: str
    """As text; a secret that is set is `MASK`, one that is not is empty."""
    source: str
    """`environment NAME`, `.env NAME` or `default`."""
    default: str
    description: str


def load() -> Settings:
    """The settings. `UsageError` with a sentence for each that cannot be, naming its variable."""
    try:
        return Settings()
    except ValidationError as error:
        faults = "; ".join(f"{_variable(fault['loc'])}: {fault['msg']}" for fault in error.errors())
        raise UsageError(f"A setting cannot be as it is. {faults}.") from None


def rows(current: Settings) -> list[Row]:
    """Every setting in the order of `Settings`."""
    environment = {name.lower(): name for name in os.environ}
    file = {name.lower(): name for name in _dotenv()}
    return [_row(name, field, current, environment, file) for name, field in Settings.model_fields.items()]


def unknown() -> list[str]:
    """Variables that begin with `VOICEBOT_` and set nothing, each with the name that was probably meant."""
    known = {variable for name, field in Settings.model_fields.items() for variable in variables(name, field)}
    given = {name.upper() for name in (*os.environ, *_dotenv()) if name.upper().startswith(PREFIX)}
    faults = []
    for name in sorted(given - known):
        near = difflib.get_close_matches(name, known, n=1)
        faults.append(f"{name} is no setting." + (f" Did you mean {near[0]}?" if near else ""))
    return faults


def template() -> str:
    """A `.env` file with every setting at its default, commented out."""
    lines = ["# Settings of voicebot. Take the # away from a line to change it; the environment goes over this file."]
    for name, field in Settings.model_fields.items():
        lines += ["", f"# {field.description}", f"#{variables(name, field)[0]}={_default(name)}"]
    return "\n".join(lines) + "\n"


def variables(name: str, field: FieldInfo) -> list[str]:
    """The environment variables that set a field, the strongest first."""
    if isinstance(field.validation_alias, AliasChoices):
        return [choice.upper() for choice in field.validation_alias.choices if isinstance(choice, str)]
    return [PREFIX + name.upper()]


def settings(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    as_env: Annotated[bool, typer.Option("--env", help="A .env template with the defaults.")] = False,
) -> None:
    """Print every setting, its value, where it came from and what it means; secrets are masked.

    Flags of `voicebot serve` go over the environment, the environment over .env, .env over the defaults.
    """
    if as_env:
        print(template(), end="")
        return
    found = rows(load())
    if as_json:
        print(json.dumps([{n: getattr(row, n) for n in Row.__slots__} for row in found], indent=2, ensure_ascii=False))
        return
    table = Table(box=box.SIMPLE_HEAD, title="Settings", title_justify="left")
    for column in ("setting", "value", "from", "what it is"):
        table.add_column(column, overflow="fold", no_wrap=column == "setting")
    for row in found:
        table.add_row(row.name, row.value, row.source.partition(" ")[0], row.description, style=_style(row))
    Console().print(table)
    for fault in unknown():
        Console(stderr=True).print(f"[yellow]{fault}[/]", soft_wrap=True)


def _row(
    name: str, field: FieldInfo, current: Settings, environment: Mapping[str, str], file: Mapping[str, str]
) -> Row:
    names = variables(name, field)
    source = "default"
    for place, given in ((".env", file), ("environment", environment)):
        found = [given[variable.lower()] for variable in names if variable.lower() in given]
        if found:
            source = f"{place} {found[0]}"
    return Row(names[0], _text(getattr(current, name)), source, _default(name), field.description or "")


def _default(name: str) -> str:
    return _text(getattr(Settings.model_construct(), name))


def _text(value: object) -> str:
    match value:
        case SecretStr():
            return MASK if value.get_secret_value() else ""
        case bool():
            return str(value).lower()
        case _:
            return str(value)


def _style(row: Row) -> str:
    return "dim" if row.source == "default" else ""


def _variable(loc: tuple[int | str, ...]) -> str:
    name = str(loc[0]) if loc else ""
    field = Settings.model_fields.get(name)
    return variables(name, field)[0] if field else name.upper()


def _dotenv() -> dict[str, str | None]:
    file = Path(str(Settings.model_config.get("env_file") or ""))
    return dict(dotenv_values(file)) if file.is_file() else {}

"""The tools of a dialplan as a language model is told them, and what is wrong with a call of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from voicebot.core.plan import Argument, Dialplan


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """One tool as a model is told it."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """JSON Schema of its arguments."""


def tool_specs(plan: Dialplan) -> tuple[ToolSpec, ...]:
    """The dialplan's tools, `transfer` when there is somebody to transfer to, and `hang_up`."""
    own = [ToolSpec(name, tool.description or name, _schema(tool.args)) for name, tool in plan.tools.items()]
    if plan.transfers:
        to = {"type": "string", "enum": list(plan.transfers), "description": "Whom to put the caller through to."}
        properties = {"to": to}
        if warm := [name for name, transfer in plan.transfers.items() if transfer.kind == "warm"]:
            told = "what the person should know before they take the call, in a sentence or two."
            properties["briefing"] = {"type": "string", "description": f"For {', '.join(warm)}: {told}"}
        own.append(
            ToolSpec(
                "transfer",
                "Put the caller through to a person and leave the call; you are told if nobody takes it. "
                "Tell the caller first.",
                {"type": "object", "properties": properties, "required": ["to"], "additionalProperties": False},
            )
        )
    own.append(ToolSpec("hang_up", "End the call, after you have said goodbye in the same reply.", _schema({})))
    return tuple(own)


def _schema(args: Mapping[str, Argument]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for name, argument in args.items():
        properties[name] = {"type": argument.type}
        if argument.description:
            properties[name]["description"] = argument.description
        if argument.enum:
            properties[name]["enum"] = list(argument.enum)
    required = [name for name, argument in args.items() if argument.required]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


def fault_in_call(specs: tuple[ToolSpec, ...], name: str, args: Any) -> str:
    """What is wrong with a call, in words for the model; empty when nothing is."""
    spec = next((spec for spec in specs if spec.name == name), None)
    if spec is None:
        return f"There is no tool {name!r}. The tools are: {', '.join(spec.name for spec in specs)}."
    if not isinstance(args, dict):
        return "The arguments must be a JSON object."
    properties = spec.parameters["properties"]
    if missing := [field for field in spec.parameters["required"] if args.get(field) in (None, "")]:
        return f"Arguments are missing: {', '.join(missing)}. Ask the caller for what you do not know."
    for field, value in args.items():
        if field not in properties:
            return f"There is no argument {field!r}. The arguments are: {', '.join(properties) or 'none'}."
        if value is None and field not in spec.parameters["required"]:
            continue
        kind = properties[field]["type"]
        if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
            return f"Argument {field!r} must be of type {kind}."
        if (known := properties[field].get("enum")) and value not in known:
            return f"Argument {field!r} must be one of: {', '.join(map(str, known))}."
    return ""

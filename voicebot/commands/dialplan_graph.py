"""A dialplan as a picture: Mermaid text, or an SVG drawn in layers from the start node down."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from voicebot.core.dialplan_graph import edges
from voicebot.core.plan import Action, Decide, Dialplan, HangUp, Node, PutThrough
from voicebot.core.say import render, slots_of
from voicebot.core.sentences import constants

END, DESK = "hang up", "transfer"
WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 190, 64, 40, 76, 24
"""Pixels of a box and between boxes."""


def links(plan: Dialplan) -> list[tuple[str, str, str]]:
    """(from, why, to) for every way out of every node; the ends are `hang up` and `transfer: name`."""
    found: list[tuple[str, str, str]] = []
    for name, node in plan.nodes.items():
        found += [(name, why, target) for why, target in edges(node)]
        found += [(name, intent, end) for intent, spec in node.intents.items() for end in _ends(spec.do)]
        found += [(name, "", end) for end in _ends(node.do)]
    return list(dict.fromkeys(found))


def _ends(actions: tuple[Action, ...]) -> Iterator[str]:
    for action in actions:
        match action:
            case HangUp():
                yield END
            case PutThrough(transfer=name):
                yield f"{DESK}: {name}"
            case Decide(then=then, otherwise=otherwise):
                yield from _ends(then)
                yield from _ends(otherwise)
            case _:
                pass


def _caption(plan: Dialplan, node: Node) -> str:
    """What a node does, in a line. What differs from call to call keeps its braces."""
    if node.collect:
        return "asks " + ", ".join(node.collect)
    if node.intents:
        return "listens: " + ", ".join(node.intents)
    if not node.say:
        return "acts"
    open_slots = {name: f"{{{name}}}" for name in slots_of(node.say[0])}
    return render(node.say[0], {**open_slots, **constants(plan)})


# --- Mermaid -----------------------------------------------------------------------------------------------------


def mermaid(plan: Dialplan) -> str:
    """A Mermaid flowchart; GitHub and many editors draw it."""
    ways = links(plan)
    ids = {name: f"n{place}" for place, name in enumerate(_boxes(plan, ways))}
    lines = ["flowchart TD"]
    for name, label in ids.items():
        if name in plan.nodes:
            text = f"<b>{_quoted(name)}</b><br/>{_quoted(_caption(plan, plan.nodes[name])[:60])}"
            lines.append(f'  {label}(["{text}"])' if name == plan.start else f'  {label}["{text}"]')
        else:
            lines.append(f'  {label}(("{_quoted(name)}"))')
    for source, why, target in ways:
        arrow = f"-- {_quoted(why)} -->" if why else "-->"
        lines.append(f"  {ids[source]} {arrow} {ids[target]}")
    return "\n".join(lines)


def _quoted(text: str) -> str:
    """Text that Mermaid does not read as its own."""
    return "".join(c if c.isalnum() or c in " .,:_'-?!" else f"#{ord(c)};" for c in text)


def _boxes(plan: Dialplan, ways: list[tuple[str, str, str]]) -> list[str]:
    return list(dict.fromkeys([plan.start, *plan.nodes, *(target for _, _, target in ways)]))


# --- SVG ---------------------------------------------------------------------------------------------------------


def svg(plan: Dialplan) -> str:
    """A picture that stands alone: no script, no font, no link to anywhere."""
    ways = links(plan)
    places = _places(plan, ways)
    width = max(x for x, _ in places.values()) + WIDTH + MARGIN
    height = max(y for _, y in places.values()) + HEIGHT + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="system-ui, sans-serif">',
        f"<title>{escape(plan.name)}: {escape(plan.description)}</title>",
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0 10 5 0 10z" fill="#667"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    grouped: dict[tuple[str, str], list[str]] = {}
    for source, why, target in ways:
        grouped.setdefault((source, target), []).append(why)
    drawn = [_line(places[s], places[t], ", ".join(filter(None, why))) for (s, t), why in grouped.items()]
    parts += [curve for curve, _ in drawn]
    parts += [_box(plan, name, *place) for name, place in places.items()]
    parts += [label for _, label in drawn]
    return "\n".join([*parts, "</svg>"])


def _places(plan: Dialplan, ways: list[tuple[str, str, str]]) -> dict[str, tuple[int, int]]:
    """Upper left corner of every box: a layer for every step away from the start."""
    layer = {plan.start: 0}
    waiting = [plan.start]
    while waiting:
        here = waiting.pop(0)
        for source, _, target in ways:
            if source == here and target not in layer:
                layer[target] = layer[here] + 1
                waiting.append(target)
    bottom = max(layer[name] for name in layer if name in plan.nodes) + 1
    rows: dict[int, list[str]] = {}
    for name in _boxes(plan, ways):
        rows.setdefault(layer.get(name, 0) if name in plan.nodes else bottom, []).append(name)
    widest = max(len(names) for names in rows.values())
    places = {}
    for row, names in rows.items():
        left = MARGIN + (widest - len(names)) * (WIDTH + GAP_X) // 2
        for column, name in enumerate(names):
            places[name] = (left + column * (WIDTH + GAP_X), MARGIN + row * (HEIGHT + GAP_Y))
    return places


def _box(plan: Dialplan, name: str, x: int, y: int) -> str:
    node = plan.nodes.get(name)
    fill = "#e8f3ec" if name == plan.start else "#eef1fb" if node else "#f6eee4"
    caption = _clip(_caption(plan, node), 30) if node else ""
    middle = x + WIDTH // 2
    return (
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="10" fill="{fill}" stroke="#667"/>'
        f'<text x="{middle}" y="{y + (26 if node else 38)}" text-anchor="middle" font-size="14" '
        f'font-weight="600" fill="#223">{escape(_clip(name, 22))}</text>'
        f'<text x="{middle}" y="{y + 46}" text-anchor="middle" font-size="11" fill="#445">{escape(caption)}</text>'
    )


def _line(source: tuple[int, int], target: tuple[int, int], why: str) -> tuple[str, str]:
    """A curve and its label: lower edge of one box to the upper edge of the other; back or sideways, round the
    right."""
    middle = WIDTH // 2
    if target[1] > source[1]:
        x1, y1, x2, y2 = source[0] + middle, source[1] + HEIGHT, target[0] + middle, target[1]
        bend = f"C{x1} {y1 + GAP_Y // 2} {x2} {y2 - GAP_Y // 2}"
    else:
        x1, y1, x2, y2 = source[0] + WIDTH, source[1] + HEIGHT // 2, target[0] + WIDTH, target[1] + HEIGHT // 2 + 8
        bend = f"C{x1 + GAP_X - 8} {y1} {x2 + GAP_X - 8} {y2}"
    label_x = (x1 + x2) // 2 + (0 if target[1] > source[1] else GAP_X // 2)
    text = (
        f'<text x="{label_x}" y="{(y1 + y2) // 2 - 4}" text-anchor="middle" font-size="11" fill="#334" '
        f'stroke="#fff" stroke-width="3" paint-order="stroke">{escape(_clip(why, 28))}</text>'
        if why
        else ""
    )
    return f'<path d="M{x1} {y1} {bend} {x2} {y2}" fill="none" stroke="#667" marker-end="url(#tip)"/>', text


def _clip(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"

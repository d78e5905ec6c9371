"""The table of `hearing` as bars: a group for each task, a bar for each treatment of the plain telephone line, and what
16 kHz reaches as a line across. SVG, written by hand: nothing needs installing to look at it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from voicebot.replay.hearing import AS_IT_IS, PHONE, WIDE, Cell

COLOURS = ("#9aa0a6", "#7aa6c2", "#e0a458", "#2a9d5c", "#a66cc2", "#c2566c")
BAR, GAP, HEIGHT, LEFT, TOP = 22, 36, 220, 50, 40


def plot(cells: Sequence[Cell]) -> str:
    """Shares right on the plain telephone line, first recogniser."""
    here = [c for c in cells if c.engine == cells[0].engine]
    phone = [c for c in here if c.line == PHONE.name]
    treatments = list(dict.fromkeys(c.treatment for c in phone))
    names = list(dict.fromkeys(c.task for c in phone))
    colour = dict(zip(treatments, COLOURS, strict=False))
    parts, x = [], LEFT
    for name in names:
        start = x
        for cell in (c for c in phone if c.task == name):
            share = cell.right / cell.total
            tall = HEIGHT * share
            parts.append(_bar(x, tall, colour.get(cell.treatment, "#000"), f"{share:.0%}"))
            x += BAR
        wide = next((c for c in here if (c.line, c.treatment, c.task) == (WIDE.name, AS_IT_IS, name)), None)
        if wide:
            y = TOP + HEIGHT * (1 - wide.right / wide.total)
            parts.append(f'<path d="M{start - 4} {y:.1f}H{x + 4}" stroke="#c0392b" stroke-width="2"/>')
        parts.append(_text((start + x) / 2, TOP + HEIGHT + 16, name, "middle"))
        x += GAP
    wide_px = max(x, LEFT + 130 * len(treatments) + 120)
    for at, treatment in enumerate(treatments):
        parts.append(f'<rect x="{LEFT + 130 * at}" y="10" width="12" height="12" fill="{colour[treatment]}"/>')
        parts.append(_text(LEFT + 130 * at + 18, 20, treatment, "start"))
    parts.append(_text(LEFT + 130 * len(treatments), 20, "red: 16 kHz", "start"))
    axis = "".join(_text(LEFT - 8, TOP + HEIGHT * (1 - s / 100) + 4, f"{s} %", "end") for s in (0, 50, 100))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide_px}" height="{TOP + HEIGHT + 30}" '
        f'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="#fff"/>'
        f"{axis}{''.join(parts)}</svg>\n"
    )


def _bar(x: float, tall: float, colour: str, label: str) -> str:
    top = TOP + HEIGHT - tall
    bar = f'<rect x="{x}" y="{top:.1f}" width="{BAR - 3}" height="{tall:.1f}" fill="{colour}"/>'
    return bar + f'<text x="{x + BAR / 2 - 1}" y="{top - 3:.1f}" text-anchor="middle" font-size="8">{label}</text>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'

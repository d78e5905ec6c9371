"""The table of `hearing` as bars: a panel for each line, in it a group for each task and a bar for each treatment, and
what 16 kHz reaches as a line across. SVG, written by hand: nothing needs installing to look at it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from voicebot.replay.hearing import WIDE, Cell
from voicebot.replay.hearing_treatments import AS_IT_IS

COLOURS = ("#9aa0a6", "#7aa6c2", "#e0a458", "#2a9d5c", "#a66cc2", "#c2566c", "#4d6fb3", "#b5a642", "#5aa9a3", "#333333")
BAR, GAP, HEIGHT, LEFT, HEAD, FOOT, KEY = 22, 36, 180, 50, 44, 30, 150


def plot(cells: Sequence[Cell]) -> str:
    """Shares right, of every recogniser."""
    colours = dict(zip(dict.fromkeys(c.treatment for c in cells if c.treatment != AS_IT_IS), COLOURS * 3, strict=False))
    parts, wide_px, y = _key(colours), LEFT + KEY * (len(colours) + 1), HEAD
    for engine, line in dict.fromkeys((c.engine, c.line) for c in cells if c.treatment != AS_IT_IS):
        panel, right = _panel([c for c in cells if c.engine == engine], line, colours, y)
        parts += [_text(LEFT, y + 4, f"{engine}, {line}", "start"), *panel]
        wide_px, y = max(wide_px, right), y + HEIGHT + HEAD + FOOT
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide_px}" height="{y}" '
        f'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="#fff"/>'
        f"{''.join(parts)}</svg>\n"
    )


def _key(colours: dict[str, str]) -> list[str]:
    parts = []
    for at, (treatment, colour) in enumerate(colours.items()):
        parts.append(f'<rect x="{LEFT + KEY * at}" y="10" width="12" height="12" fill="{colour}"/>')
        parts.append(_text(LEFT + KEY * at + 18, 20, treatment, "start"))
    return [*parts, _text(LEFT + KEY * len(colours), 20, "red: 16 kHz, in quiet", "start")]


def _panel(cells: Sequence[Cell], line: str, colours: dict[str, str], top: int) -> tuple[list[str], int]:
    """The drawing, and where it ends on the right."""
    here = [c for c in cells if c.line == line]
    base = top + HEAD // 2 + HEIGHT
    parts, x = [_text(LEFT - 8, base - HEIGHT * s / 100 + 4, f"{s} %", "end") for s in (0, 50, 100)], LEFT
    for name in dict.fromkeys(c.task for c in here):
        start = x
        for cell in (c for c in here if c.task == name):
            parts.append(_bar(x, base, cell.right / cell.total, colours[cell.treatment]))
            x += BAR
        wide = next((c for c in cells if (c.line, c.treatment, c.task) == (WIDE.name, AS_IT_IS, name)), None)
        if wide:
            y = base - HEIGHT * wide.right / wide.total
            parts.append(f'<path d="M{start - 4} {y:.1f}H{x + 4}" stroke="#c0392b" stroke-width="2"/>')
        parts.append(_text((start + x) / 2, base + 16, name, "middle"))
        x += GAP
    return parts, x


def _bar(x: float, base: float, share: float, colour: str) -> str:
    top = base - HEIGHT * share
    bar = f'<rect x="{x}" y="{top:.1f}" width="{BAR - 3}" height="{base - top:.1f}" fill="{colour}"/>'
    return bar + f'<text x="{x + BAR / 2 - 1}" y="{top - 3:.1f}" text-anchor="middle" font-size="8">{share:.0%}</text>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'

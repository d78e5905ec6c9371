"""The ways between a dialplan's nodes: what nobody reaches, and circles in which nobody listens."""

from __future__ import annotations

from collections.abc import Iterator

from voicebot.core.dialplan_faults import Fault, did_you_mean
from voicebot.core.plan import Action, Decide, Dialplan, Goto, Node, TakeMessage, UseTool


def targets(actions: tuple[Action, ...]) -> Iterator[str]:
    """Every node these actions may go to."""
    for action in actions:
        match action:
            case Goto(goto=name):
                yield name
            case UseTool(failed=name) if name:
                yield name
            case Decide(then=then, otherwise=otherwise):
                yield from targets(then)
                yield from targets(otherwise)
            case _:
                pass


def edges(node: Node) -> Iterator[tuple[str, str]]:
    """(why, node): every way out of a node."""
    for name, intent in node.intents.items():
        for target in targets(intent.do):
            yield name, target
    for key, target in node.dtmf.items():
        if target not in node.intents:
            yield key, target
    for target in targets(node.do):
        yield "", target


def reach(plan: Dialplan) -> Iterator[Fault]:
    """A start that is none, nodes that nothing leads to, circles."""
    if plan.start not in plan.nodes:
        yield Fault(("start",), f"There is no node {plan.start!r}.", did_you_mean(plan.start, plan.nodes))
        return
    after_transfers = {t.on_failure for t in plan.transfers.values() if t.on_failure in plan.nodes}
    seen = {plan.start, *after_transfers}
    waiting = list(seen)
    while waiting:
        for _, target in edges(plan.nodes[waiting.pop()]):
            if target in plan.nodes and target not in seen:
                seen.add(target)
                waiting.append(target)
    for name in plan.nodes:
        if name not in seen:
            yield Fault(("nodes", name), f"Nothing leads to the node {name!r}.", "Add a `goto`, or remove it.")
    yield from _circles(plan)


def _circles(plan: Dialplan) -> Iterator[Fault]:
    """Circles of nodes that speak and never listen. Depth first, without recursion: 10,000 nodes are fine."""
    silent = {n: node for n, node in plan.nodes.items() if not (node.collect or node.intents or node.dtmf)}
    after = {name: [t for t in targets(_until_input(node.do)) if t in silent] for name, node in silent.items()}
    done: set[str] = set()
    for start in silent:
        trail: list[str] = []
        stack: list[tuple[str, int]] = [(start, 0)] if start not in done else []
        while stack:
            name, place = stack.pop()
            if place == 0:
                trail.append(name)
            if place < len(after[name]):
                stack.append((name, place + 1))
                target = after[name][place]
                if target in trail:
                    circle = " → ".join([*trail[trail.index(target) :], target])
                    yield Fault(
                        ("nodes", name), f"A circle in which nobody listens: {circle}.", "Let one of them listen."
                    )
                    return
                if target not in done:
                    stack.append((target, 0))
            else:
                done.add(trail.pop())


def _until_input(actions: tuple[Action, ...]) -> tuple[Action, ...]:
    """The actions up to one at which the caller speaks."""
    for place, action in enumerate(actions):
        if isinstance(action, TakeMessage):
            return actions[:place]
    return actions

"""`voicebot dialplan`: what it prints and how it exits."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from voicebot.commands.dialplan import app
from voicebot.commands.dialplan_graph import links
from voicebot.core.dialplan import parse
from voicebot.errors import UsageError

FOLDER = Path(__file__).parents[2] / "dialplans"
FILES = [str(FOLDER / f"{name}.yaml") for name in ("clinic", "coffee", "frontdesk")]
run = CliRunner().invoke


def test_good_dialplans_are_ticked_off() -> None:
    result = run(app, ["check", *FILES])
    assert 0 == result.exit_code
    assert ["✓", "✓", "✓"] == [line[0] for line in result.output.splitlines()]


def test_a_bad_dialplan_is_told_with_every_fault_and_exit_code_1(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: bad\nstart: b\nnodes:\n  a:\n    sya: x\n    do: [hang_up]\n")
    result = run(app, ["check", FILES[0], str(bad)])
    assert 1 == result.exit_code
    assert f"{bad}:5: Unknown key 'sya'. Did you mean 'say'?" in result.output
    assert f"✗ {bad}: 1 fault" in result.output
    assert result.output.startswith("✓")


@pytest.mark.parametrize(
    ("content", "said"), [(b"name: caf\xe9\n", "bad.yaml:1: This is not UTF-8."), (None, "bad.yaml: No such file")]
)
def test_a_file_that_cannot_be_read_is_a_fault_like_any_other(tmp_path: Path, content: bytes | None, said: str) -> None:
    bad = tmp_path / "bad.yaml"
    if content is not None:
        bad.write_bytes(content)
    for command in ("check", "graph", "talk"):
        result = run(app, [command, str(bad)])
        assert 1 == result.exit_code
        assert said in result.output


def test_the_schema_is_json_schema() -> None:
    schema = json.loads(run(app, ["schema"]).output)
    assert "https://json-schema.org/draft/2020-12/schema" == schema["$schema"]
    assert "nodes" in schema["properties"]


@pytest.mark.parametrize("file", FILES)
def test_a_graph_shows_every_node_and_every_way(file: str) -> None:
    plan = parse(Path(file).read_text(), file)
    drawn = run(app, ["graph", file]).output
    assert drawn.startswith("flowchart TD")
    assert len(links(plan)) == sum("-->" in line for line in drawn.splitlines())
    for name in plan.nodes:
        assert f"<b>{name}</b>" in drawn.replace("#95;", "_")


def test_a_graph_says_what_the_caller_will_hear() -> None:
    drawn = run(app, ["graph", "dialplans/coffee.yaml"]).output
    assert "Bean Street, hello!" in drawn
    assert "persona" not in drawn


@pytest.mark.parametrize("file", FILES)
def test_the_svg_is_whole_and_has_a_box_for_every_node(file: str) -> None:
    plan = parse(Path(file).read_text(), file)
    picture = ElementTree.fromstring(run(app, ["graph", "--svg", file]).output)
    shown = {text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")}
    assert set(plan.nodes) <= shown
    width, height = float(picture.attrib["width"]), float(picture.attrib["height"])
    for box in picture.iter("{http://www.w3.org/2000/svg}rect"):
        right = float(box.get("x", 0)) + float(box.attrib["width"])
        bottom = float(box.get("y", 0)) + float(box.attrib["height"])
        assert (right, bottom) <= (width, height)


def test_a_conversation_can_be_typed_or_piped() -> None:
    result = run(app, ["talk", FILES[1]], input="a large latte with soy milk\n#1\n")
    assert 0 == result.exit_code
    assert "bot: So that's a large latte with soy milk. Is that right?" in result.output
    assert "→ order(drink=latte, size=large, milk=soy milk)" in result.output
    assert result.output.rstrip().endswith("→ hang_up()")


def test_a_pipe_that_ends_is_a_caller_who_hangs_up() -> None:
    result = run(app, ["talk", FILES[0]], input="\n")
    assert 0 == result.exit_code
    assert "Are you still there?" in result.output
    assert "(the caller hangs up)" in result.output


def test_a_dialplan_can_be_tried_with_the_headers_of_an_exchange(tmp_path: Path) -> None:
    file = tmp_path / "hello.yaml"
    file.write_text('name: a\nstart: a\nnodes: {a: {say: "Hello[ {header_x_name}].", do: hang_up}}')
    assert "bot: Hello Ann = Bee." in run(app, ["talk", "--header", "X-Name=Ann = Bee", str(file)]).output
    with pytest.raises(UsageError, match=r"'Name=Ann' is no header of a call. Write it like X-Queue=sales"):
        run(app, ["talk", "--header", "Name=Ann", str(file)], catch_exceptions=False)


def test_verbose_shows_slots_and_what_is_expected() -> None:
    result = run(app, ["talk", "--verbose", FILES[1]], input="a mocha [please]\n")
    assert "slots: drink=mocha" in result.output
    assert "expects: coffee/order/size (open" in result.output

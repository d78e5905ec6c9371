# ruff: noqa: E501 (one case, one line)
"""Bad dialplans: each names its line and its mend."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicebot.core.dialplan import DialplanFaults, parse
from voicebot.core.dialplan_text import MAX_BYTES
from voicebot.errors import DialplanError

GOOD = """\
name: shop
timezone: Europe/London
hours: ["mon-fri 09:00-17:00"]
types:
  size:
    small: [little]
    large: [big]
  fruit: [apple, "[red] cherry"]
tools:
  order: {kind: note, args: {size: {required: true}, fruit: {}}}
transfers:
  desk: {to: "+12025550100"}
operator: desk
start: hello
nodes:
  hello:
    say: Hello.
    intents:
      buy:
        examples: ["i want [a | an] {fruit}", buy]
        do:
          - goto: order
      leave:
        examples: [goodbye]
        do:
          - hang_up
  order:
    collect:
      size:
        required: true
        ask: Which size?
        dtmf: {1: small, 2: large}
      fruit: {}
    readback: A {size} [{fruit}]?
    do:
      - tool: order
        args: {size: "{size}", fruit: "{fruit}"}
      - if: open
        then: {transfer: desk}
        else: {hang_up: Bye.}
"""


def line_of(text: str, needle: str) -> int:
    return text[: text.index(needle)].count("\n") + 1


def faults(text: str) -> list[DialplanError]:
    with pytest.raises(DialplanFaults) as caught:
        parse(text, "shop.yaml")
    return list(caught.value.faults)


# what to replace, by what, the text whose line is to be named, part of the message, part of the hint
TABLE: dict[str, tuple[str, str, str, str, str]] = {
    # --- the notation
    "a tab": ("    say: Hello.", "\tsay: Hello.", "\tsay", "tab indents", "spaces"),
    "a duplicate key": ("operator: desk", "operator: desk\noperator: desk", "", "already set in line 13", "Keep one"),
    "a duplicate node": ("  order:\n    collect", "  hello:\n    collect", "  hello:\n    coll", "already set", "Keep"),
    "an anchor": ("say: Hello.", "say: &hello Hello.", "&hello", "anchor &hello", "Write the value out"),
    "an alias": ("say: Hello.", "say: *hello", "*hello", "alias *hello", "Write the value out"),
    "a tag": ("say: Hello.", "say: !!python/name:os.system x", "!!python", "tag", "Remove it"),
    "two documents": ("start: hello", "start: hello\n---\na: b", "---", "second document", "remove the `---`"),
    "a quote never closed": ("{hang_up: Bye.}", '{hang_up: "Bye.}', 'hang_up: "', "never closed", "Close it"),
    "a second colon": ("say: Hello.", "say: Hello: you.", "Hello: you", "second ': '", "quotes"),
    "a wrong indentation": ("  order:\n    collect:", "  order:\n   x: y\n    collect:", "    collect", "second|inden", ""),
    "a percent sign": ("say: Hello.", "say: %hello", "%hello", "cannot begin", "quotes"),
    "a control character": ("say: Hello.", "say: Hel\x07lo.", "Hel\x07", "control character", "Remove"),
    "a list as key": ("operator: desk", "[a, b]: desk", "[a, b]", "key must be", "key: value"),
    "a flow list never closed": ('hours: ["mon-fri 09:00-17:00"]', "hours: [a", "types:", "does not go on", "Close it"),
    # --- the shape
    "an unknown key at the top": ("operator: desk", "operater: desk", "operater", "Unknown key 'operater'", "'operator'"),
    "an unknown key in a node": ("    say: Hello.", "    sya: Hello.", "sya", "Unknown key 'sya'", "'say'"),
    "an unknown key in a slot": ("ask: Which", "aks: Which", "aks", "Unknown key 'aks'", "'ask'"),
    "an unknown key in an intent": ("        examples: [goodbye]", "        example: [goodbye]", "example: [g",
                                    "Unknown key 'example'", "'examples'"),
    "an unknown key in a transfer": ('{to: "+12025550100"}', '{two: "+12025550100"}', "two", "Unknown key 'two'", "'to'"),
    "an unknown key in a tool": ("{kind: note, args", "{kind: note, arguments: {}, args", "kind: note",
                                 "Unknown key 'arguments'", "'args'"),
    "an unknown key in an action": ("- goto: order", "- goto: order\n            speed: 3", "speed", "Unknown key 'speed'",
                                    "goto"),
    "an unknown key in limits": ("start: hello", "limits: {max_calls: 3}\nstart: hello", "max_calls",
                                 "Unknown key 'max_calls'", "'max_call_s'"),
    "an unknown key in sentences": ("start: hello", "sentences: {goodby: x}\nstart: hello", "goodby", "'goodby'", "'goodbye'"),
    "an unknown key in the lexicon": ("start: hello", "lexicon: {Ng: {sounds: ing}}\nstart: hello", "sounds", "'sounds'", "said"),
    "an unknown key in takes": ("start: hello", "takes: {number: x}\nstart: hello", "number", "'number'", "'numbers'"),
    "an unknown key in persona": ("start: hello", "persona: {nam: x}\nstart: hello", "nam:", "'nam'", "'name'"),
    "an unknown key in engines": ("start: hello", "engines: {tss: x}\nstart: hello", "tss", "'tss'", "'tts'"),
    "no name": ("name: shop\n", "", "", "'name' is missing", "Add `name"),
    "no start": ("start: hello\n", "", "", "'start' is missing", "Add `start"),
    "a transfer without a number": ('{to: "+12025550100"}', "{say: Wait.}", "desk: {say", "'to' is missing", "Add `to"),
    "an intent without examples": ("        examples: [goodbye]\n", "", "leave", "'examples' is missing", "Add"),
    "a name with capitals": ("name: shop", "name: My Shop", "name", "'My Shop' cannot be used", "lower case"),
    "a language that is none": ("name: shop", "name: shop\nlanguage: english please", "language", "cannot be used", "en-US"),
    "a number out of range": ("start: hello", "limits: {silence_s: 60}\nstart: hello", "silence_s", "less than", "smaller"),
    "words for a number": ("start: hello", "limits: {silence_s: long}\nstart: hello", "silence_s", "integer", "whole"),
    "a word for true": ("required: true", "required: yes please", "required: yes", "'required'", "true or false"),
    "a mapping for a text": ("say: Hello.", "say: {a: b}", "say: {", "'say'", "list"),
    "a text for a mapping": ("    collect:\n", "    help: x\n    collect: size\n    dtmf:\n", "collect: size", "'collect'",
                             "key: value"),
    "no nodes": (GOOD[GOOD.index("nodes:"):], "nodes: {}\n", "nodes: {}", "at least 1", "Add one"),
    "a tool of no kind": ("{kind: note,", "{kind: email,", "email", "tool of no known kind", "kind: http"),
    "a url that is none": ("order: {kind: note,", "order: {kind: http, url: 'ftp://x',", "ftp", "cannot be used", "https://"),
    "a tool too slow": ("order: {kind: note,", "order: {kind: note, deadline_s: 60,", "deadline_s", "less than", "smaller"),
    "an action that is none": ("- goto: order", "- gotoo: order", "gotoo", "gotoo is no action", "'goto'"),
    "a word as action": ("          - hang_up\n", "          - hangup\n", "- hangup", "hangup is no action", "'hang_up'"),
    "a confirm mode that is none": ("ask: Which size?", "ask: Which size?\n        confirm: maybe", "confirm", "'confirm'",
                                    "one of those"),
    # --- what leads nowhere
    "an unknown start": ("start: hello", "start: helo", "start", "no node 'helo'", "'hello'"),
    "an unknown node": ("- goto: order", "- goto: oder", "goto: oder", "no node 'oder'", "'order'"),
    "an unknown tool": ("- tool: order", "- tool: odrer", "tool: odrer", "no tool 'odrer'", "'order'"),
    "an unknown argument": ('fruit: "{fruit}"', 'friut: "{fruit}"', 'friut: "', "takes no 'friut'", "'fruit'"),
    "a missing argument": ('{size: "{size}", fruit: "{fruit}"}', '{fruit: "{fruit}"}', "args: {fruit", "needs 'size'", "Add `size"),
    "an unknown transfer": ("{transfer: desk}", "{transfer: dask}", "dask", "no transfer 'dask'", "'desk'"),
    "an unknown operator": ("operator: desk", "operator: dask", "operator", "no transfer 'dask'", "'desk'"),
    "a transfer by a free slot": ("{transfer: desk}", '{transfer: "{fruit}"}', 'transfer: "{', "no choice of transfers", "maps"),
    "a transfer by a wrong choice": ("{transfer: desk}", '{transfer: "{size}"}', 'transfer: "{', "may be 'small'", "There is"),
    "an unknown type": ("      fruit: {}", "      fruit: {type: friut}", "friut", "no type 'friut'", "'fruit'"),
    "an unknown slot in a text": ("readback: A {size}", "readback: A {sise}", "sise", "no slot {sise}", "'size'"),
    "an unknown type in a phrase": ("{fruit}\", buy", "{fruits}\", buy", "{fruits}", "no type {fruits}", "'fruit'"),
    "a key for an unknown intent": ("    say: Hello.", "    say: Hello.\n    dtmf: {1: by}", "dtmf: {1: by", "no node 'by'", "'buy'"),
    "a key that is none": ("    say: Hello.", "    say: Hello.\n    dtmf: {12: buy}", "dtmf: {12", "'12' is no key", "0 to 9"),
    "a key for no value": ("2: large}", "2: huge}", "huge", "'huge' is no value", "small"),
    "an unreachable node": ("- goto: order", "- hang_up", "  order:\n    coll", "Nothing leads to the node 'order'", "goto"),
    "a node that leads nowhere": ("nodes:\n", "nodes:\n  lost:\n    say: Hm.\n", "  lost", "leads nowhere", "Add `do`"),
    "a form that leads nowhere": ("        else: {hang_up: Bye.}\n", "", "do:\n      - tool", "does not lead on", "goto"),
    "a circle in which nobody listens": ("start: hello", "start: a", "  b:", "A circle in which nobody listens: a → b → a", "listen"),
    "an action after the last": ("          - hang_up\n", "          - hang_up\n          - say: More.\n", "- say: More", "never done",
                                 "Move it"),
    "a do that is never done": ("    say: Hello.", "    say: Hello.\n    do: [hang_up]", "do: [hang", "never done", "intents"),
    "a slot to forget that is none": ("          - goto: order", "          - forget: sise\n          - goto: order", "forget",
                                      "no slot 'sise'", "'size'"),
    # --- phrases, texts, values
    "a bracket in a phrase": ("[a | an]", "[a | an", "[a | an {", "closes", "[optional]"),
    "a phrase that may be empty": ("{fruit}\", buy", "{fruit}\", '[buy]'", "'[buy]'", "All of '[buy]' is optional", "outside"),
    "digits in a phrase": ("{fruit}\", buy", "{fruit}\", buy 2", "buy 2", "'2' has digits", "in words"),
    "one phrase in two intents": ("examples: [goodbye]", "examples: [Buy]", "[Buy]", "intent 'buy' has the same phrase", "Keep it"),
    "a type that contains itself": ('"[red] cherry"', '"red {fruit}"', "fruit:", "contains itself", "circle"),
    "a type named like a built-in one": ("  size:\n    small", "  date:\n    small", "  date", "built-in type", "another name"),
    "a type without values": ("types:\n", "types:\n  none_of_these: []\n", "none_of_these", "no values", "List"),
    "a bracket in a text": ("say: Hello.", "say: Hello [there.", "Hello [", "never closed", "Add ']'"),
    "a brace in a text": ("say: Hello.", 'say: "Hello {"', "Hello {", "brace", "{name}"),
    "an empty text": ("say: Hello.", 'say: ""', 'say: ""', "empty", "Write"),
    "a text too long": ("say: Hello.", "say: " + "blah " * 200, "say: blah", "more than anybody", "600"),
    "hours that are none": ("mon-fri 09:00-17:00", "mon-fri nine to five", "hours", "are no hours", "mon-fri 08:00"),
    "a day that is none": ("mon-fri 09:00-17:00", "mon-fry 09:00-17:00", "hours", "'fry'", "fri"),
    "an hour that is none": ("mon-fri 09:00-17:00", "mon-fri 09:00-27:00", "hours", "no time of day", "24:00"),
    "a time zone that is none": ("Europe/London", "Europe/Londn", "timezone", "no time zone", "'Europe/London'"),
    "open without hours": ('hours: ["mon-fri 09:00-17:00"]\n', "", "if: open", "needs to know the hours", "Add `hours`"),
    "a condition that is none": ("- if: open", "- if: it rains today!", "if: it", "no condition", "open, closed"),
    "a condition on no slot": ("- if: open", "- if: sise = small", "if: sise", "no slot 'sise'", "'size'"),
    "a destination that cannot be called": ("+12025550100", "call Bob", "desk:", "cannot be called", "+1555"),
    "a required slot never asked for": ("        ask: Which size?\n", "", "      size:\n        req", "never asked", "Add `ask`"),
    "a past that means nothing": ("      fruit: {}", "      fruit: {past: true}", "past", "`past` means nothing", "dates"),
    "a length that means nothing": ("      fruit: {}", "      fruit: {length: 3}", "fruit: {len", "mean nothing", "digits"),
    "a minimum over the maximum": ("      fruit: {}", "      n: {type: number, min: 5, max: 2}", "min", "more than `max`", "Swap"),
    "a slot with a reserved name": ("      fruit: {}", "      caller: {type: text}", "caller", "built in", "another name"),
    "a slot of two types": ("  order:\n    coll", "  more: {collect: {fruit: {type: text}}, do: [hang_up]}\n  order:\n    coll",
                            "      fruit: {}", "is of type 'text' in another node", "one type"),
    "a slot named like another type": ("      fruit: {}", "      fruit: {type: size}", "fruit: {t", "named like the type", "Rename"),
    "a read-back of nothing": ("    say: Hello.", "    say: Hello.\n    readback: Right?", "readback: Right", "nothing to read", "say"),
    "examples without a form": ("    say: Hello.", "    say: Hello.\n    examples: [hi]", "examples: [hi", "without `collect`", "intent"),
    "a term that says nothing": ("start: hello", "lexicon: {Ng: {}}\nstart: hello", "Ng", "says nothing", "said"),
    "a caller pattern that is none": ("start: hello", "takes: {callers: 'a b'}\nstart: hello", "callers", "no number", "+1555"),
    "a header that is none": ("start: hello", "takes: {headers: {Queue: sales}}\nstart: hello", "headers", "'Queue' is no header", "X-Queue"),
    "one header twice": ("start: hello", "takes:\n  headers:\n    X-Queue: a\n    x_queue: b\n    x-queue: c\nstart: hello", "x-queue: c",
                         "'x-queue' is the same as 'X-Queue'", "one of them"),
    "a header without values": ("start: hello", "takes: {headers: {X-Queue: []}}\nstart: hello", "headers", "no values", "for any"),
    "a header pattern that is none": ("start: hello", "takes: {headers: {X-Queue: 's*s'}}\nstart: hello", "headers", "can be 's*s'", "sales"),
    "a header that is a list": ("start: hello", "takes: {headers: [X-Queue]}\nstart: hello", "headers", "'headers'", "key: value"),
    "a header in a text that is none": ("readback: A {size}", "readback: A {header_queue}", "header_queue", "no slot {header_queue}",
                                        "{header_x_customer_id}"),
    "a condition on no header": ("- if: open", "- if: header_queue = a", "if: header", "no slot 'header_queue'", "{header_x_"),
    "a slot named like a header": ("      fruit: {}", "      header_x_a: {type: text}", "header_x_a", "built in", "another name"),
    "a type named like a header": ("types:\n", "types:\n  header_x_a: [b]\n", "header_x_a", "like a header", "another name"),
    "a tool named like a header": ("tools:\n", "tools:\n  header: {kind: note}\n", "  header:", "like a header", "another name"),
    "an empty sentence": ("start: hello", "sentences: {goodbye: ''}\nstart: hello", "goodbye:", "sentence is empty", "Write"),
}  # fmt: skip
CIRCLE = "nodes:\n  a: {say: A., do: {goto: b}}\n  b:\n    do:\n      - if: open\n        then: {goto: a}\n        else: {goto: hello}\n"


def test_the_dialplan_that_the_bad_ones_are_made_from_is_good() -> None:
    assert parse(GOOD, "shop.yaml").name == "shop"


@pytest.mark.parametrize("case", TABLE)
def test_a_bad_dialplan_names_line_fault_and_mend(case: str) -> None:
    old, new, needle, message, hint = TABLE[case]
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    if "circle in which" in case:
        text = text.replace("nodes:\n", CIRCLE, 1)
    found = faults(text)
    wanted = [f for f in found if any(part in f.message for part in message.split("|")) and hint in f.hint]
    assert wanted, [str(fault) for fault in found]
    if needle:
        assert line_of(text, needle) in {fault.line for fault in wanted}, [str(fault) for fault in found]
    assert all(fault.file == "shop.yaml" and fault.line >= 1 and fault.message for fault in found)


def test_every_fault_of_a_dialplan_is_reported_at_once() -> None:
    text = (
        GOOD.replace("goto: order", "goto: oder")
        .replace("operator: desk", "operator: dask")
        .replace("{size} [", "{sise} [")
    )
    found = faults(text)
    assert [13, 22, 34] == [fault.line for fault in found if "Nothing leads" not in fault.message]
    assert str(found[0]).startswith("shop.yaml:13: There is no transfer 'dask'. Did you mean 'desk'?")


def test_an_argument_outside_the_tools_closed_list_is_a_fault() -> None:
    text = GOOD.replace("{required: true}", "{required: true, enum: [small, large]}", 1)
    assert parse(text, "shop.yaml").tools["order"].args["size"].enum == ("small", "large")
    found = faults(text.replace('args: {size: "{size}"', "args: {size: huge"))
    assert ["'size' cannot be 'huge'."] == [fault.message for fault in found]


@given(
    st.lists(
        st.tuples(st.integers(0, len(GOOD)), st.integers(0, 12), st.text("ab:-[]{}|&*!'\"#\n\t \x00é1", max_size=6)),
        max_size=5,
    )
)
@settings(max_examples=150, deadline=None)
def test_whatever_is_done_to_a_dialplan_it_parses_or_names_its_faults(edits: list[tuple[int, int, str]]) -> None:
    text = GOOD
    for at, gone, new in edits:
        text = text[:at] + new + text[at + gone :]
    for fault in _faults_of(text):
        assert 1 <= fault.line <= text.count("\n") + 2
        assert fault.message
        assert fault.file == "shop.yaml"


def _faults_of(text: str) -> tuple[DialplanError, ...]:
    """None when it parses; anything but `DialplanFaults` escapes."""
    try:
        parse(text, "shop.yaml")
    except DialplanFaults as error:
        return error.faults
    return ()


@given(st.text(max_size=200))
def test_any_text_at_all_is_a_dialplan_or_named_faults(text: str) -> None:
    with pytest.raises(DialplanFaults):
        parse(text, "noise.yaml")


def test_the_error_itself_is_all_faults_a_line_each() -> None:
    with pytest.raises(DialplanError) as caught:
        parse(GOOD.replace("goto: order", "goto: oder"), "shop.yaml")
    assert 2 == len(str(caught.value).splitlines())


@pytest.mark.parametrize("text", ["", "   \n", "# only a comment\n", "null", "just words", "- a\n- list", "42"])
def test_a_file_that_is_no_dialplan_is_one_fault(text: str) -> None:
    assert 1 == len(faults(text))


def test_a_file_over_256_kib_is_refused_unread() -> None:
    found = faults(GOOD + "#" * MAX_BYTES)
    assert ["The file is larger than 256 KiB."] == [fault.message for fault in found]


def test_a_billion_laughs_are_refused_at_the_first_anchor() -> None:
    bomb = "a: &a [x, x]\n" + "".join(f"b{n}: &b{n} [*a, *a]\n" for n in range(20))
    assert [(1, "The anchor &a is not allowed.")] == [(fault.line, fault.message) for fault in faults(bomb)]


def test_nesting_without_end_is_refused() -> None:
    assert ["More than 24 levels deep."] == [fault.message for fault in faults("a: " + "[" * 500)]


def test_thousands_of_nodes_are_checked_without_recursion() -> None:
    nodes = "".join(f"  n{i}:\n    do: {{goto: n{i + 1}}}\n" for i in range(4000))
    text = f"name: long\nstart: n0\nnodes:\n{nodes}  n4000:\n    do: [hang_up]\n"
    assert 4001 == len(parse(text, "long.yaml").nodes)


def test_yes_no_and_on_are_words_not_truth_values() -> None:
    text = GOOD.replace("examples: [goodbye]", "examples: [no, on, off]").replace("small: [little]", "small: [yes]")
    plan = parse(text, "shop.yaml")
    assert ("no", "on", "off") == plan.nodes["hello"].intents["leave"].examples


def test_a_number_with_a_plus_or_a_leading_zero_stays_a_number_to_dial() -> None:
    plan = parse(GOOD.replace("start:", "takes: {numbers: [+12025550100, 0891234]}\nstart:"), "shop.yaml")
    assert ("+12025550100", "0891234") == plan.takes.numbers

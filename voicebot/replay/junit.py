"""A suite as JUnit XML, the form in which every CI shows tests: a call is a test case."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from voicebot.replay.verdict import Suite, SuiteCall

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, however they are escaped."""


def junit(suite: Suite) -> bytes:
    """`failure`: a call became worse. `error`: it could not be run. `skipped`: it changed, and a person has to look."""
    outcomes = [call.outcome for call in suite.calls]
    counts = {
        "name": _xml(suite.title),
        "tests": str(len(outcomes)),
        "failures": str(outcomes.count("worse")),
        "errors": str(outcomes.count("failed")),
        "skipped": str(outcomes.count("changed")),
    }
    root = Element("testsuites")
    group = SubElement(root, "testsuite", counts)
    for call in suite.calls:
        _case(group, call, suite.mode)
    indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{tostring(root, encoding="unicode")}\n'.encode()


def _case(group: Element, call: SuiteCall, mode: str) -> None:
    case = SubElement(
        group, "testcase", name=_xml(call.name), classname=f"replay.{mode}", time=f"{call.duration_ms / 1000:.3f}"
    )
    told = "\n".join(each.text for each in call.compared if each.text)
    match call.outcome:
        case "worse":
            worse = [each.text for each in call.compared if each.outcome == "worse"]
            first = call.note or (worse[0] if worse else "worse than the golden run")
            SubElement(case, "failure", message=_xml(first), type="worse").text = _xml(told)
        case "failed":
            SubElement(case, "error", message=_xml(call.note), type="could not run")
        case "changed":
            changed = [each.text for each in call.compared if each.outcome in ("changed", "diverged")]
            SubElement(case, "skipped", message=_xml(changed[0] if changed else "changed"))
        case "pass":
            pass
    if call.runs:
        SubElement(case, "system-out").text = f"{call.passed} of {call.runs} runs passed"


def _xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)

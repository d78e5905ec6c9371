"""Interpreted calls: two lines, two languages, both directions, interruptions, and a side that is lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.call.interpreted_world import OTHER, Broken, Interpreted, Simultaneous
from tests.call.world import WORD_MS, tone
from tests.virtual_time import run
from voicebot.call.ducked import EPOCH
from voicebot.core.dialplan import DialplanFaults, parse
from voicebot.core.interpreting import expectation, sides, spec, words_for
from voicebot.core.timeline import EndReason

WORDS = {"es-ES": ["buenos días"], "en-US": ["hello there"]}
NOTICE_MS = 8000
"""Both sides are told first of all that the call is interpreted; then they speak."""


def world(folder: Path, monkeypatch: pytest.MonkeyPatch, **more: object) -> Interpreted:
    return Interpreted(folder, monkeypatch, WORDS, **more)  # type: ignore[arg-type]


def test_each_side_hears_what_the_other_said_in_its_own_language(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = world(tmp_path, monkeypatch)
    run(call.call([NOTICE_MS, tone(900), 14_000], [NOTICE_MS + 6000, tone(900), 8000]))
    assert ["+15550100"] == call.dialled
    assert [("caller", "buenos días", "good morning"), ("callee", "hello there", "hola")] == [
        (each["by"], each["source"], each["text"]) for each in call.of("interpreted")
    ]
    assert call.of("interpreted") == call.of("interpreted", OTHER)  # both languages in both transcripts
    assert ["hola"] == [each["heard"].strip() for each in call.of("said") if each["text"] == "hola"]
    assert ["good morning"] == [each["heard"].strip() for each in call.of("said", OTHER) if "good" in each["text"]]


def test_both_are_told_in_their_language_that_the_call_is_interpreted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = world(tmp_path, monkeypatch)
    run(call.call([NOTICE_MS], [NOTICE_MS]))
    first = [call.of("said", side)[0]["heard"].strip() for side in ("call", OTHER)]
    assert [words_for("es-ES").notice, words_for("en-US").notice] == first


def test_both_recordings_hold_what_was_said_and_its_translation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = world(tmp_path, monkeypatch)
    run(call.call([NOTICE_MS, tone(900), 14_000], [NOTICE_MS + 6000, tone(900), 8000]))
    notice, theirs = (len(words_for(language).notice.split()) * WORD_MS for language in ("es", "en"))
    own, played = call.heard_ms()
    assert abs(900 - own) <= 40
    assert abs(notice + WORD_MS - played) <= 100  # "hola"
    own, played = call.heard_ms(OTHER)
    assert abs(900 - own) <= 40
    goodbye = len(words_for("en").over.split()) * WORD_MS
    assert abs(theirs + 2 * WORD_MS - played) <= 100 + goodbye  # "good morning"; and perhaps the goodbye


def test_who_speaks_over_a_translation_stops_it_and_is_translated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = world(tmp_path, monkeypatch)
    call.words = {"es-ES": ["cinco mesas"], "en-US": ["four"]}
    # "five tables please" plays for 750 ms; they begin to speak 300 ms into it
    run(call.call([NOTICE_MS, tone(900), 12_000], [NOTICE_MS + 1100, tone(1500), 9000]))
    said = [each for each in call.of("said", OTHER) if "five" in each["text"]]
    assert [False] == [each["complete"] for each in said]
    assert said[0]["heard"].strip() != "five tables please"
    assert ["cuatro"] == [each["heard"].strip() for each in call.of("said") if "cuatro" in each["text"]]


def test_a_translation_waits_until_who_is_to_hear_it_has_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = world(tmp_path, monkeypatch)
    # They begin before the translation is there and speak for three seconds.
    run(call.call([NOTICE_MS, tone(900), 14_000], [NOTICE_MS + 300, tone(3000), 12_000]))
    heard_from = [record.ms for record in call.records(OTHER) if record.kind == "heard_from"]
    stopped = [record.ms for record in call.records(OTHER) if record.kind == "voice_stopped"]
    assert heard_from[-1] > stopped[0]
    assert ["good morning"] == [each["heard"].strip() for each in call.of("said", OTHER) if "good" in each["text"]]


def test_a_sentence_that_nobody_can_translate_is_apologised_for_where_it_was_to_be_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = world(tmp_path, monkeypatch)
    call.words = {"es-ES": ["ornitorrinco"], "en-US": []}
    run(call.call([NOTICE_MS, tone(900), 8000], [NOTICE_MS + 8000]))
    assert [words_for("en").sorry] == [each["text"] for each in call.of("fixed", OTHER) if each["sentence"] == "sorry"]


def test_when_the_other_side_is_lost_the_caller_is_told_and_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = world(tmp_path, monkeypatch)
    reason = run(call.call([NOTICE_MS, tone(900), 60_000], [NOTICE_MS + 1000]))
    assert EndReason.BOT_HANGUP is reason
    assert [words_for("es").over] == [each["text"] for each in call.of("fixed") if each["sentence"] == "goodbye"]
    assert "caller_hangup" == call.of("call_ended", OTHER)[0]["reason"]


def test_when_the_caller_is_gone_so_is_the_other_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call = world(tmp_path, monkeypatch)
    reason = run(call.call([NOTICE_MS], [60_000]))
    assert EndReason.CALLER_HANGUP is reason
    assert "bot_hangup" == call.of("call_ended", OTHER)[0]["reason"]
    assert [words_for("en").over] == [each["text"] for each in call.of("fixed", OTHER)]


def test_when_nobody_answers_the_caller_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call = world(tmp_path, monkeypatch, other=False)
    assert EndReason.BOT_HANGUP is run(call.call([60_000]))
    assert words_for("es").not_reached == call.of("fixed")[-1]["text"]


def test_silence_on_one_side_for_a_minute_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call = world(tmp_path, monkeypatch)
    run(call.call([60_000, tone(900), 4000], [68_000]))
    assert [("caller", "good morning")] == [(each["by"], each["text"]) for each in call.of("interpreted")]


def test_with_no_other_side_the_caller_hears_the_translation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call = world(tmp_path, monkeypatch, more="by: cascade")
    run(call.call([NOTICE_MS, tone(900), 6000]))
    assert words_for("es").alone == call.of("said")[0]["heard"].strip()
    assert ["good morning"] == [each["heard"].strip() for each in call.of("said") if "good" in each["text"]]
    assert [] == call.dialled


def test_an_agent_in_the_browser_takes_the_call_that_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call = world(tmp_path, monkeypatch, more="call: browser", agent_after_s=2.0)
    run(call.call([NOTICE_MS, tone(900), 9000], [NOTICE_MS, 60_000]))
    assert [("caller", "good morning")] == [(each["by"], each["text"]) for each in call.of("interpreted", OTHER)]
    assert [] == call.dialled
    assert EndReason.BOT_HANGUP is call.agents_call
    assert [words_for("en").over] == [each["text"] for each in call.of("fixed", OTHER)]


def test_an_agent_for_whom_nobody_waits_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call = world(tmp_path, monkeypatch, more="call: browser", agent_after_s=20.0)
    assert EndReason.CALLER_HANGUP is run(call.call([4000]))
    assert EndReason.BOT_HANGUP is call.agents_call


def test_the_original_is_heard_softly_where_the_dialplan_wants_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = world(tmp_path, monkeypatch, more="call: '+15550100', original: ducked")
    run(call.call([NOTICE_MS, tone(900), 8000], [NOTICE_MS + 8000]))
    soft = b"".join(pcm for pcm, epoch in call.sent if epoch == EPOCH)
    loud = np.abs(np.frombuffer(soft, "<i2").astype(np.int32))
    assert abs(900 - int((loud > 300).reshape(-1, 80).any(axis=1).sum()) * 10) <= 40
    assert 0.11 * 8000 < loud.max() < 0.13 * 8000
    said = [(each["text"], each["complete"]) for each in call.of("said", OTHER) if "good" in each["text"]]
    assert [("good morning", True)] == said


def test_a_simultaneous_interpreter_is_heard_while_the_other_still_speaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Simultaneous()
    call = world(tmp_path, monkeypatch, more="call: '+15550100', by: early", natives={"early": engine})
    run(call.call([NOTICE_MS, tone(3000), 8000], [NOTICE_MS + 8000]))
    assert {("es-ES", "en-US"), ("en-US", "es-ES")} == {(each.language, each.target) for each in engine.opened}
    stopped = [record.ms for record in call.records() if record.kind == "voice_stopped"]
    heard = [record.ms for record in call.records() if record.kind == "interpreted"]
    assert heard[0] < stopped[0]
    assert [("hello", True)] == [(s["text"], s["complete"]) for s in call.of("said", OTHER) if s["text"] == "hello"]
    assert [("caller", "hola", "hello")] == [(i["by"], i["source"], i["text"]) for i in call.of("interpreted", OTHER)]


def test_without_an_interpreter_both_are_told_and_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call = world(tmp_path, monkeypatch, more="call: '+15550100', by: broken", natives={"broken": Broken()})
    assert EndReason.ENGINE_FAILED is run(call.call([60_000], [60_000]))
    assert words_for("es").trouble == call.of("fixed")[-1]["text"]


def test_sentences_are_translated_in_order_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call = world(tmp_path, monkeypatch)
    call.words = {"es-ES": ["buenos días", "cinco mesas", "buenos días"], "en-US": []}
    run(call.call([NOTICE_MS, tone(900), 700, tone(900), 700, tone(900), 12_000], [NOTICE_MS + 16_000]))
    assert ["good morning", "five tables please", "good morning"] == [
        each["heard"].strip() for each in call.of("said", OTHER)[1:] for each in [each] if each["text"]
    ]


# --- the dialplan

FOUR_LINES = """
name: interpreter
language: es-ES
mode: interpret
interpret: {to: en-US, call: "+15550100"}
"""


def test_four_lines_are_a_dialplan() -> None:
    told = spec(parse(FOUR_LINES, "interpreter.yaml"))
    assert ("en-US", "+15550100", ("cascade",)) == (told.to, told.call, told.by)


BOOK = """
engines: {options: {phrasebook: {es-en: {"¿Cuánto cuesta?": how much is it}, en-es: {four: cuatro}}}}
"""


def test_with_a_phrasebook_each_side_is_expected_to_say_what_is_in_it() -> None:
    plan = parse(FOUR_LINES.replace("to: en-US", "to: en-US, text: phrasebook") + BOOK, "interpreter.yaml")
    one, other = sides(plan)
    assert [("cuánto cuesta",), ("four",)] == [expectation(side).phrases for side in (one, other)]
    assert [("es-ES", "en-US"), ("en-US", "es-ES")] == [(side.language, spec(side).to) for side in (one, other)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("mode: interpret", "start: a\nnodes: {a: {do: hang_up}}"), "This is for interpreted calls only."),
        (("interpret: {to: en-US, call: \"+15550100\"}", ""), "It does not say between whom to interpret."),
        (("to: en-US", "to: es-ES"), "Both sides speak es-ES."),
        (("call: ", "cal: "), "Unknown key 'cal'."),
        (("+15550100", "anna"), "Nobody can be called there."),
    ],
)  # fmt: skip
def test_what_is_wrong_with_one_is_told(change: tuple[str, str], said: str) -> None:
    with pytest.raises(DialplanFaults) as faults:
        parse(FOUR_LINES.replace(*change), "interpreter.yaml")
    assert said in "".join(fault.message for fault in faults.value.faults)

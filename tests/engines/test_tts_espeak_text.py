"""Text into espeak and word times back: nothing may get lost on the way."""

from hypothesis import given
from hypothesis import strategies as st

from voicebot.engines.espeak_text import PIECE, Tokens, has_speech, pause_ms, pieces, plain, spelled

TEXT = st.text(max_size=700) | st.text(alphabet="ab ,.!\n\t—é😀\x01", max_size=900)


@given(TEXT, st.integers(1, PIECE))
def test_pieces_concatenate_to_the_text_and_none_is_too_long(text: str, most: int) -> None:
    cut = pieces(text, most)
    assert text == "".join(cut)
    assert all(len(piece) <= most for piece in cut)


def test_a_long_text_is_cut_after_a_sentence_rather_than_inside_one() -> None:
    assert ["One two. ", "Three four five."] == pieces("One two. Three four five.", 18)


@given(TEXT)
def test_plain_text_keeps_its_length_and_holds_no_command(text: str) -> None:
    assert len(text) == len(plain(text))
    assert not any(c < " " or c == "\x7f" for c in plain(text))


@given(TEXT, st.lists(st.tuples(st.integers(0, 900), st.integers(0, 10**6))))
def test_words_concatenate_to_the_text_whatever_the_engine_reports(text: str, events: list[tuple[int, int]]) -> None:
    tokens = Tokens(text)
    words = tokens.at(events)
    assert text == "".join(word for word, _ in words) + tokens.rest()


def test_a_word_runs_up_to_the_next_one() -> None:
    assert [("Hello, ", 0), ("you", 480)] == Tokens("Hello, you").at([(0, 0), (7, 480)])


def test_the_digits_of_a_number_are_one_word() -> None:
    assert [("1234 ", 0), ("items", 900)] == Tokens("1234 items").at([(0, 0), (1, 300), (1, 600), (5, 900)])


def test_a_dash_without_a_time_is_not_heard_before_the_next_word() -> None:
    assert [("so ", 0), ("— yes", 500)] == Tokens("so — yes").at([(0, 0), (5, 500)])


def test_a_lexicon_respells_whole_words_only() -> None:
    said = {"Ana": "ah nah", "Dr Ng": "doctor ing"}
    assert "Banana for ah nah, doctor ing." == spelled("Banana for ANA, Dr Ng.", said).text


def test_words_of_a_respelling_point_at_the_term_they_stand_for() -> None:
    form = spelled("Ask Siobhan now", {"Siobhan": "shi vawn"})
    assert "Ask shi vawn now" == form.text
    found = {word: form.source(form.text.index(word)) for word in ("Ask", "shi", "vawn", "now")}
    assert {"Ask": 0, "shi": 4, "vawn": 8, "now": 12} == found


@given(TEXT, st.dictionaries(st.text("ab", min_size=1, max_size=2), st.text("xy ", max_size=6)))
def test_every_place_of_a_respelling_comes_from_a_place_in_the_text(text: str, said: dict[str, str]) -> None:
    form = spelled(text, said)
    places = [form.source(at) for at in range(len(form.text))]
    assert places == sorted(places)
    assert all(0 <= place <= len(text) for place in places)


def test_a_sentence_is_followed_by_a_longer_pause_than_a_clause() -> None:
    assert pause_ms("Really?") == pause_ms('He said "yes." ') > pause_ms("first, ") > pause_ms("and then")


def test_punctuation_alone_is_no_speech() -> None:
    assert (False, True, True) == (has_speech(" … -"), has_speech("5"), has_speech("€"))

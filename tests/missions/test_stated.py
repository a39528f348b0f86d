"""What a sentence states, by its form."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from codex_oss.missions.stated import Number, Place, read_sentence, unseen_or_alike, values_of


def test_each_kind_is_taken_out_before_the_next() -> None:
    """A line number is no value, and code is no plain word."""
    said = read_sentence('`a = 9` in src/a.py:4 and lines 5-6: max_size is 10, "gave up" from lib/b.py, callMe, run()')
    assert said.places == (Place("src/a.py:4", "src/a.py", 4, 4), Place("lines 5-6", "", 5, 6))
    assert said.codes == ("a = 9",)
    assert said.quoted == ("gave up",)
    assert said.paths == ("lib/b.py",)
    assert said.names == ("max_size", "callMe", "run")
    assert said.numbers == (Number("10"),)


def test_code_that_is_never_closed_is_code() -> None:
    """Leaving out the last back-tick hides nothing."""
    assert read_sentence("it is `x = 9 here").codes == ("x = 9 here",)


def test_a_number_knows_what_it_counts() -> None:
    """The noun behind it, or `x`; words of no meaning are none."""
    assert read_sentence("2 places, 3x, 4 and 5").numbers == (
        Number("2", "places"),
        Number("3", "x"),
        Number("4"),
        Number("5"),
    )


def test_numbers_in_words() -> None:
    """Small ones only where numbers are the point, "one" never."""
    said = "forty-two lines, two hundred uses, one of five, twice"
    assert read_sentence(said).numbers == (Number("42", "lines"),)
    counted = read_sentence(said, words_are_numbers=True).numbers
    assert counted == (Number("42", "lines"), Number("200", "uses"), Number("5", "twice"), Number("2", "x"))


def test_written_numbers_have_values() -> None:
    """Thousands in three spellings are one value; a version is none."""
    assert values_of("30_000") & values_of("30,000") == {30000.0}
    assert values_of("3.11.2") == frozenset()


def test_letters_that_look_like_others_are_seen() -> None:
    """Mixed words, disguised words and wide letters; words of another language are words."""
    assert unseen_or_alike("\u041cAX is set") == "\u041cAX"
    assert unseen_or_alike("\u041c\u0410\u0425 is set") == "\u041c\u0410\u0425"
    assert unseen_or_alike("\uff2d\uff21\uff38") == "\uff2d\uff21\uff38"
    assert unseen_or_alike("a\u200bb") == "\N{REPLACEMENT CHARACTER}"
    assert unseen_or_alike("naïve Größe, \u043e\u0448\u0438\u0431\u043a\u0430, 日本語") == ""


@given(st.text(max_size=400) | st.text('a1`"L:/._, \n', max_size=800))
def test_any_sentence_is_read(text: str) -> None:
    """No text breaks the reader."""
    read_sentence(text, words_are_numbers=True)
    unseen_or_alike(text)

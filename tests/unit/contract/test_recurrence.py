import pytest
from croniter import croniter
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import BadContent
from contract.recurrence import check_recurrence


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("* * * * *", "* * * * *"),
        ("  0\t9 *  * 1-5 ", "0 9 * * 1-5"),
        ("*/15 8-18/2 1,15 jan-mar MON,fri", "*/15 8-18/2 1,15 jan-mar MON,fri"),
        ("0 0 29 2 *", "0 0 29 2 *"),
        ("0 0 31 2 1", "0 0 31 2 1"),
        ("0 0 31 2,3 *", "0 0 31 2,3 *"),
        ("5 4 * * 7", "5 4 * * 7"),
        ("@every 90m", "@every 90m"),
        ("@every  1d12h", "@every 1d12h"),
        ("@every 60s", "@every 60s"),
        ("@every 366d", "@every 366d"),
    ],
)
def test_what_names_a_repetition_is_kept(text: str, kept: str) -> None:
    assert check_recurrence(text) == kept


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "0 fields instead of five"),
        ("9am", "1 fields"),
        ("0 9 * * 1 2026", "6 fields"),
        ("60 * * * *", "minute: '60' is not a number from 0 to 59"),
        ("* 24 * * *", "hour"),
        ("* * 0 * *", "day of month"),
        ("* * * 13 *", "month"),
        ("* * * foo *", "month"),
        ("* * * * 8", "weekday"),
        ("-5 * * * *", "minute"),
        ("1.5 * * * *", "minute"),
        ("*/0 * * * *", "step"),
        ("*/x * * * *", "step"),
        ("5/10 * * * *", "a step needs a range"),
        ("10-5 * * * *", "runs backwards"),
        ("1,,2 * * * *", "minute"),
        ("0 0 31 2 *", "no such day"),
        ("0 0 31 4,6 *", "no such day"),
        ("? * * * *", "minute"),
        ("0 0 L * *", "day of month"),
        ("٣ * * * *", "minute"),
        ("@daily", "only '@every'"),
        ("@every", "only '@every'"),
        ("@every soon", "only '@every'"),
        ("@every 90", "only '@every'"),
        ("@every 59s", "at least one minute"),
        ("@every 0m", "at least one minute"),
        ("@every 367d", "at most 366 days"),
        ("* " * 200, "longer than 200"),
    ],
)
def test_what_does_not_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(BadContent, match=words.replace("?", r"\?")):
        check_recurrence(text)


WORDS = st.text("0123456789*/-,?LW#@ mondecjun", max_size=12)
NUMBERS = st.integers(0, 70).map(str)
PARTS = st.one_of(
    st.just("*"),
    NUMBERS,
    st.builds("{}-{}".format, NUMBERS, NUMBERS),
    st.builds("*/{}".format, NUMBERS),
    st.builds("{}-{}/{}".format, NUMBERS, NUMBERS, NUMBERS),
    st.sampled_from(["mon", "JAN", "sun-sat", "jan-mar/2"]),
)
FIELDS = st.lists(PARTS, min_size=1, max_size=3).map(",".join)


@given(st.one_of(st.text(max_size=30), st.lists(WORDS, max_size=7).map(" ".join)))
def test_any_text_is_kept_or_refused(text: str) -> None:
    try:
        kept = check_recurrence(text)
    except BadContent:
        return
    assert kept == " ".join(text.split())


@given(st.lists(FIELDS, min_size=5, max_size=5).map(" ".join))
def test_what_is_kept_is_an_expression_for_the_host_as_well(text: str) -> None:
    try:
        kept = check_recurrence(text)
    except BadContent:
        return
    assert croniter.is_valid(kept)

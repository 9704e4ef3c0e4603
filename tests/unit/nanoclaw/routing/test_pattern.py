import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nanoclaw.routing.pattern.parse import MAX_PATTERN
from nanoclaw.routing.pattern.search import MAX_TEXT, Finding, problem_of, search

FOUND, NOT_FOUND = Finding.FOUND, Finding.NOT_FOUND


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("^!", "!go", True),
        ("^!", "go!", False),
        ("andy", "hi andy", True),
        ("Andy", "hi andy", False),
        ("(?i)ANDY|bea", "hi Andy", True),
        (r"\bandy\b", "@andy, hello", True),
        (r"\bandy\b", "handyman", False),
        (r"\Bandy", "handyman", True),
        ("a.c", "a\nc", False),
        ("a[^]c", "a\nc", True),
        ("[]", "x", False),
        ("^$", "", True),
        ("end$", "the end\n", False),
        (r"^\d{2,3}$", "12", True),
        (r"^\d{2,3}$", "1234", False),
        (r"^\d+$", "१२", False),
        (r"^\w+$", "grün", False),
        (r"^\s$", "\u00a0", True),
        ("a{,3}", "a{,3}", True),
        ("x{1", "x{1", True),
        (r"\u0041\x42\cJ", "AB\n", True),
        (r"\u{1F600}", "hi \U0001f600", True),
        ("(?:ab)+c", "ababc", True),
        ("(?<name>ab)c", "abc", True),
        ("(?=.*x)(?=.*y)", "y then x", True),
        ("^(?!.*stop).*go", "go and stop", False),
        ("^(?!.*stop).*go", "let us go", True),
        ("a|", "zzz", True),
        (r"[\d-x]", "-", True),
        (r"[a-c]+[^a-c]", "abcd", True),
        ("colou??r", "color", True),
        ("(?:^)*a", "ba", True),
        (r"\B", "", True),
    ],
)
def test_patterns_mean_what_they_mean_in_javascript(pattern: str, text: str, found: bool) -> None:
    assert search(pattern, text) is (FOUND if found else NOT_FOUND)


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("(", "not closed"),
        (")", "not opened"),
        ("a**", "nothing to repeat"),
        ("*a", "nothing to repeat"),
        ("^*", "nothing to repeat"),
        ("[a", "square bracket"),
        ("[z-a]", "backwards"),
        ("a{3,1}", "wrong way round"),
        ("a{9999}", "more than 1000"),
        ("\\", "backslash"),
        (r"(a)\1", "references"),
        (r"\k<n>", "references"),
        ("(?<=a)b", "looking behind"),
        ("(?<!a)b", "looking behind"),
        (r"\p{L}", "properties"),
        ("(?>a)", "unknown kind"),
        ("(?<1>a)", "name"),
        (r"\u{110000}", "code point"),
        ("((a{100}){100}){100}", "too large"),
        ("(?:(?:(?:){1000}){1000}){1000}", "too large"),
        ("(" * 60 + ")" * 60, "nested"),
        ("a" * (MAX_PATTERN + 1), "longer than"),
    ],
)
def test_unreadable_pattern_is_named_for_its_administrator(pattern: str, problem: str) -> None:
    assert search(pattern, "anything") is Finding.UNREADABLE
    assert problem in (problem_of(pattern) or "")


def test_good_pattern_has_no_problem() -> None:
    assert problem_of(r"^/(ask|do)\b") is None


EVIL = ["(a+)+$", "(a|aa)+$", "(x+x+)+y", "(.*a){20}b", "(a*)*b", "((a?){30}){20}b", "(?=(a+)+b)"]


@pytest.mark.parametrize("pattern", EVIL)
def test_w14_no_text_makes_a_pattern_explode(pattern: str) -> None:
    text = "a" * (MAX_TEXT - 1) + "!"

    # Ends at all: backtracking would need longer than the universe has.
    assert search(pattern, text) in (NOT_FOUND, Finding.TOO_MUCH)


def test_w14_work_beyond_the_limit_counts_as_not_meant() -> None:
    assert search("(?=(a+)+b)", "a" * MAX_TEXT) is Finding.TOO_MUCH


def test_only_the_beginning_of_a_text_is_looked_at() -> None:
    assert search("needle", "x" * MAX_TEXT + "needle") is NOT_FOUND
    assert search("needle", "x" * (MAX_TEXT - 6) + "needle") is FOUND


def test_what_is_remembered_of_one_text_changes_nothing_for_the_next() -> None:
    texts = ["ab", "b a", "ba", "a b", "", "aab"] * 3

    first = [search(r"\ba+b\b", text) for text in texts]
    again = [search(r"\ba+b\b", text) for text in texts]

    assert first == again == [FOUND, NOT_FOUND, NOT_FOUND, NOT_FOUND, NOT_FOUND, FOUND] * 3


ATOMS = st.sampled_from(
    ["a", "b", "c", ".", r"\d", r"\w", r"\W", "[ab]", "[^a]", "^", "$", r"\b", r"\B", "1", " "]
)


def _grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    groups = inner.map(lambda text: f"(?:{text})")
    counts = st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{0,2}", "*?"])
    return st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map("|".join),
        st.tuples(groups, counts).map("".join),
        inner.map(lambda text: f"(?={text})"),
        inner.map(lambda text: f"(?!{text})"),
    )


PATTERNS = st.recursive(ATOMS, _grow, max_leaves=8)
TEXTS = st.text(alphabet="abc1 !", max_size=8)


@settings(deadline=None, max_examples=400)
@given(PATTERNS, TEXTS.filter(bool))
@example("(?:a|ab)(?:c|bcd)(?:d*)", "abcd")
def test_findings_are_those_of_the_standard_librarys_engine(pattern: str, text: str) -> None:
    """In the part that the two flavours share: its ``$`` is ``\\Z``, ``\\B`` misses empty texts."""
    oracle = re.search(pattern.replace("$", r"\Z"), text, re.ASCII)

    assert search(pattern, text) is (FOUND if oracle else NOT_FOUND)


@settings(deadline=None, max_examples=200)
@given(st.text(alphabet="ab()[]{}|*+?^$\\.,0129-=!<>:kpux", max_size=12), TEXTS)
def test_any_text_as_a_pattern_has_a_finding(pattern: str, text: str) -> None:
    assert search(pattern, text) in Finding

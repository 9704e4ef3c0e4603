import fnmatch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.tools.search.globbing import wanted
from runner.tools.search.ignoring import Rules, parse_rules


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("*.py", "a/b.py", True),
        ("a/*.py", "a/b.py", True),
        ("a/*.py", "b/a/b.py", False),
        ("/a/*.py", "a/b.py", True),
        ("**/b.py", "b.py", True),
        ("a/**/c", "a/c", True),
        ("a/**/c", "a/b/b/c", True),
        ("a/**", "a", False),
        ("a/**/b/**/c", "a/x/b/y/b/c", True),
        ("{a,b/{c,d}}", "b/d", True),
        ("a{}b", "ab", True),
        ("{a", "{a", True),
        ("[!a-c]x", "dx", True),
        ("[!a-c]x", "bx", False),
        ("[]]", "]", True),
        ("[a-", "[a-", True),
        (r"\*", "*", True),
        (r"\*", "a", False),
        ("?", "ü", True),
        ("a\\", "a\\", True),
        ("", "a/b", True),
    ],
)
def test_patterns_mean_what_shells_mean(pattern: str, path: str, expected: bool) -> None:
    assert wanted(pattern).matches(path.split("/")) is expected


@given(st.text(alphabet="ab*?", max_size=8), st.text(alphabet="ab", min_size=1, max_size=8))
@settings(deadline=None, max_examples=300)
def test_names_match_as_in_the_standard_library(pattern: str, name: str) -> None:
    if "**" in pattern or not pattern:
        return
    assert wanted(pattern).matches([name]) is fnmatch.fnmatchcase(name, pattern)


@given(st.text(max_size=40), st.lists(st.text(min_size=1, max_size=10), max_size=5))
@settings(deadline=None)
def test_no_pattern_is_an_error(pattern: str, parts: list[str]) -> None:
    assert wanted(pattern).matches(parts) in (True, False)
    rules = Rules(0, parse_rules(pattern))
    assert rules.ignores(parts, is_folder=True) in (True, False, None)


def test_many_stars_and_braces_take_no_time() -> None:
    """Would take years if they did."""
    assert not wanted("*a" * 200 + "b").matches(["a" * 255])
    assert not wanted("**/a/" * 50 + "b").matches(["a"] * 200)
    assert wanted("{a,b}" * 50).matches(["x"]) is False
    assert not wanted("{" * 5000 + "a" + "}" * 5000).matches(["x"])


def test_the_last_rule_wins_and_folders_are_told_apart() -> None:
    rules = Rules(1, parse_rules("*.log\n!keep.log\nbuild/\n/top\n# no\n\n  \n!\n/\n"))

    assert rules.ignores(["here", "a.log"], is_folder=False) is True
    assert rules.ignores(["here", "keep.log"], is_folder=False) is False
    assert rules.ignores(["here", "build"], is_folder=False) is None
    assert rules.ignores(["here", "sub", "build"], is_folder=True) is True
    assert rules.ignores(["here", "sub", "top"], is_folder=False) is None

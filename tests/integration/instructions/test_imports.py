import os

import pytest
from helpers.instruction_files import Files
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.instructions.imports import MAX_FILE_BYTES, MAX_IMPORTS, MAX_LOOKUPS, Expansion


def expanded(files: Files, text: str) -> str | None:
    return Expansion(files.places).expand(files.group("CLAUDE.md", text))


def test_whole_line_is_replaced_by_the_file_in_place(files: Files) -> None:
    files.group("notes/a.md", "# A\n\n@b.md\n")
    files.group("notes/b.md", "B\n")

    assert expanded(files, "before\n@./notes/a.md\nafter\n") == "before\n# A\n\nB\nafter"


def test_home_and_absolute_names_are_found(files: Files) -> None:
    files.at_home("h.md", "home")
    path = files.group("x y.md", "blank")

    text = expanded(files, f"@~/h.md\n@{str(path).replace(' ', chr(92) + ' ')}")

    assert text == "home\nblank"


def test_names_of_the_container_are_found_where_this_process_has_them(files: Files) -> None:
    files.app("CLAUDE.md", "base")
    files.composed("fragments/a.md", "fragment")
    files.group("own.md", "own")

    text = expanded(files, "@/app/CLAUDE.md\n@/session/in/fragments/a.md\n@/workspace/agent/own.md")

    assert text == "base\nfragment\nown"


def test_file_that_imports_itself_is_not_repeated(files: Files) -> None:
    files.group("a.md", "A\n@./b.md")
    files.group("b.md", "B\n@./a.md\n@./CLAUDE.md")

    assert expanded(files, "top\n@./a.md") == "top\nA\nB"


def test_cycle_through_a_link_is_a_cycle(files: Files) -> None:
    files.group("a.md", "A\n@./link.md")
    (files.paths.workspace / "link.md").symlink_to("a.md")

    assert expanded(files, "@./link.md") == "A"


def test_same_file_may_be_imported_in_two_places(files: Files) -> None:
    files.group("a.md", "A")

    assert expanded(files, "@./a.md\n@./a.md") == "A\nA"


def test_missing_file_is_named(files: Files) -> None:
    assert expanded(files, "@./none.md\n@~/none") == "(not found: ./none.md)\n(not found: ~/none)"


@pytest.mark.parametrize(
    "text",
    [
        "write to kim@example.org",
        "ask @kim about it",
        "@kim",
        "`@./a.md` and ``x `@./a.md` ``",
        "```\n@./a.md\n```",
        "~~~\n@./a.md\n~~~",
        "x@./a.md",
        "a folder @./folder is no file",
        "@",
        "@@./a.md",
        "see @./none.md",
    ],
)
def test_what_is_no_import_stays_as_it_is(files: Files, text: str) -> None:
    files.group("a.md", "imported")
    files.group("folder/x", "")

    assert expanded(files, "T\n" + text) == "T\n" + text


def test_file_named_in_a_sentence_follows_the_text(files: Files) -> None:
    path = files.group("a.md", "A\n")

    text = expanded(files, "See @./a.md, and (again @./a.md).\nEnd")

    assert text == f"See @./a.md, and (again @./a.md).\nEnd\n\nContents of {path}:\n\nA"


def test_imports_in_comments_are_not_read(files: Files) -> None:
    files.group("a.md", "A")

    assert expanded(files, "<!-- generated\n@./a.md -->\ntext") == "text"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x89PNG\r\n\0\0", "not a text file"),
        (b"text\0text", "not a text file"),
        (b"\xff\xfe\xfd", "not a text file"),
        (b"x" * (MAX_FILE_BYTES + 1), "larger than 200 KB"),
    ],
)
def test_file_that_is_no_text_is_refused_with_a_note(
    files: Files, content: bytes, reason: str
) -> None:
    files.group("a.md", content)

    text = expanded(files, "before\n@./a.md\nafter")

    assert text is not None
    assert text.startswith(f"before\n(not imported, {reason}: ")
    assert text.endswith("after")


def test_pipe_is_not_waited_for(files: Files) -> None:
    os.mkfifo(files.paths.workspace / "pipe.md")

    assert expanded(files, "a\n@./pipe.md") == "a\n(not found: ./pipe.md)"


def test_imports_end_at_the_fifth_level(files: Files) -> None:
    for level in range(1, 8):
        files.group(f"{level}.md", f"level {level}\n@./{level + 1}.md")

    text = expanded(files, "@./1.md")

    assert text is not None
    assert "level 5" in text
    assert "level 6" not in text
    assert "nested deeper than 5" in text


def test_number_of_imports_is_bounded(files: Files) -> None:
    for name in ("a", "b", "c"):
        following = {"a": "b", "b": "c", "c": "d"}[name]
        files.group(f"{name}.md", f"@./{following}.md\n" * 20)
    files.group("d.md", "leaf")

    text = expanded(files, "@./a.md")

    assert text is not None
    assert text.count("leaf") < MAX_IMPORTS
    assert f"more than {MAX_IMPORTS} imports" in text


def test_text_full_of_names_is_not_looked_up_for_ever(files: Files) -> None:
    files.group("late.md", "late")
    names = " ".join(f"@n{number}" for number in range(MAX_LOOKUPS))

    text = expanded(files, f"{names}\n@late.md")

    assert text is not None
    assert "\nlate" not in text


def test_old_names_lead_to_the_composed_texts_once(files: Files) -> None:
    files.app("CLAUDE.md", "base")
    files.composed("fragments/module-core.md", "core")
    files.group(".claude-fragments/mcp-own.md", "own")
    composed = files.composed("CLAUDE.md", "@/app/CLAUDE.md\n")
    old = (
        "@./.claude-shared.md\n@./.claude-fragments/module-core.md\n@./.claude-fragments/mcp-own.md"
    )
    expansion = Expansion(files.places)

    first = expansion.expand(composed)
    second = expansion.expand(files.group("CLAUDE.md", f"mine\n{old}"))

    assert first == "base"
    assert second == "mine\n\ncore\nown"


def test_shipped_texts_are_found_in_a_checkout_too(files: Files) -> None:
    files.app("runner/content/CLAUDE.md", "base")

    assert expanded(files, "@/app/CLAUDE.md") == "base"


def test_missing_and_empty_files_are_nothing(files: Files) -> None:
    assert Expansion(files.places).expand(files.paths.workspace / "none.md") is None
    assert expanded(files, "<!-- nothing else -->\n\n") is None


def test_top_file_that_cannot_be_read_is_named(files: Files) -> None:
    path = files.group("CLAUDE.md", b"\xff")

    text = Expansion(files.places).expand(path)

    assert text == f"(not read, not a text file: {path})"


@given(
    st.lists(
        st.sampled_from(
            ["@./a.md", "@./b.md", "`", "```", "~~~", "<!--", "-->", "\n", " ", "text", "@", "@~",
             "@/", "@..", "@./", "@x\\ y", "@" + "n" * 300, "@~other/x", "é"]
        ),
        max_size=30,
    )
)  # fmt: skip
@settings(
    deadline=None,
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_no_text_breaks_the_reading(files: Files, words: list[str]) -> None:
    files.group("a.md", "A @./b.md")
    files.group("b.md", "B\n@./a.md")

    text = expanded(files, "".join(words))

    assert text is None or len(text) < 20_000

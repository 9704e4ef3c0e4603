"""Status blocks (scenarios 66, 67)."""

import pytest

from setup.blocks import END, Block, final_block, format_block, is_good, parse_blocks


def test_what_is_written_is_read_again() -> None:
    text = format_block("ALPHA", {"STATUS": "success", "GOOD": True, "URL": "http://a:80", "E": ""})

    assert parse_blocks(text) == [
        Block("ALPHA", {"STATUS": "success", "GOOD": "true", "URL": "http://a:80", "E": ""})
    ]


def test_a_second_start_discards_the_open_block() -> None:
    text = f"=== NANOCLAW SETUP: A ===\nX: 1\n=== NANOCLAW SETUP: B ===\nY: 2\n{END}\n"

    assert parse_blocks(text) == [Block("B", {"Y": "2"})]


def test_a_block_without_end_is_none() -> None:
    assert parse_blocks("=== NANOCLAW SETUP: A ===\nSTATUS: success\n") == []


def test_windows_line_ends_and_lines_without_colon_do_no_harm() -> None:
    text = f"noise: 1\r\n=== NANOCLAW SETUP: A ===\r\nhello\r\nK:  v: w \r\n{END}\r\nmore: 2\r\n"

    assert parse_blocks(text) == [Block("A", {"K": "v: w"})]


def test_the_result_is_the_last_block_with_a_status() -> None:
    blocks = [Block("A", {"STATUS": "failed"}), Block("B", {"STATUS": "success"}), Block("C", {})]

    assert final_block(blocks) == blocks[1]
    assert final_block([Block("C", {})]) is None


@pytest.mark.parametrize(
    ("code", "status", "good"),
    [(0, "success", True), (0, "skipped", True), (0, "failed", False), (1, "success", False)],
)
def test_exit_code_and_word_must_agree(code: int, status: str, good: bool) -> None:
    assert is_good(code, Block("A", {"STATUS": status})) is good


def test_a_line_break_becomes_a_blank_and_the_end_line_is_refused() -> None:
    assert "K: a b" in format_block("A", {"K": "a\nb"})
    with pytest.raises(ValueError, match="end line"):
        format_block("A", {"K": f"x {END}"})
    with pytest.raises(ValueError, match="blanks"):
        format_block("A B", {})

import asyncio
from collections.abc import Mapping, Sequence

from runner.toolbox.base import ToolCall, ToolResult
from runner.tools.todo import MAX_CHARACTERS, MAX_ITEMS, TodoTool


class Book:
    def __init__(self) -> None:
        self.pages: list[Sequence[Mapping[str, object]]] = []

    def use(self, *items: tuple[str, str]) -> ToolResult:
        tool = TodoTool()
        tool.save_with(self.pages.append)
        given = [{"text": text, "status": status, "extra": 1} for text, status in items]
        return asyncio.run(tool.run({"items": given}, ToolCall("c")))


def test_the_list_is_stored_and_repeated() -> None:
    book = Book()

    shown = book.use(("a", "done"), ("b", "in_progress"), ("c", "pending")).text

    assert shown == "[x] a\n[>] b\n[ ] c"
    assert book.pages == [
        [
            {"text": "a", "status": "done"},
            {"text": "b", "status": "in_progress"},
            {"text": "c", "status": "pending"},
        ]
    ]


def test_an_empty_list_is_a_list() -> None:
    book = Book()

    assert book.use().text == "The list is empty."
    assert book.pages == [[]]


def test_the_list_is_bounded_and_can_always_be_stored() -> None:
    book = Book()

    assert book.use(*[("x", "done")] * (MAX_ITEMS + 1)).is_error
    assert book.pages == []
    book.use(("y" * 5000, "done"), ("\ud800", "done"))
    assert [item["text"] for item in book.pages[0]] == ["y" * MAX_CHARACTERS, "?"]

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from runner.errors import FencedOffError
from runner.toolbox.base import (
    DocumentPart,
    ImagePart,
    ToolCall,
    ToolResult,
    ToolSpec,
    ToolUse,
    text_result,
)
from runner.toolbox.box import ToolSet, ToolSetParts
from runner.toolbox.source import Branch
from runner.tools.spool import Spool

SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}}


class Flight:
    open_questions = False

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def started(self, tool: str, milliseconds: int | None) -> None:
        self.seen.append(tool)

    async def ended(self) -> None:
        self.seen.append("-")


class Made:
    """A tool that does what its name says."""

    def __init__(self, name: str, *, read_only: bool = False, alias: str = "") -> None:
        self.spec = ToolSpec(name, name, SCHEMA, read_only, (alias,) if alias else ())
        self.together = 0
        self.most = 0

    def declared_seconds(self, arguments: Mapping[str, object]) -> float | None:
        return -29.9 if self.spec.name == "hang" else None

    async def run(self, arguments: Mapping[str, object], call: ToolCall) -> ToolResult:
        if self.spec.name == "break":
            raise RuntimeError("broken")
        if self.spec.name == "fenced":
            raise FencedOffError
        if self.spec.name == "odd":
            return ToolResult((*text_result("a\udcffb").parts, ImagePart("image/png", "AAAA")))
        if self.spec.name == "hang":
            await asyncio.Event().wait()
        if self.spec.name == "document":
            return ToolResult((DocumentPart("application/pdf", "A" * 10 * 1024 * 1024),))
        self.together += 1
        self.most = max(self.most, self.together)
        await asyncio.sleep(0.01)
        self.together -= 1
        size = 50_000_000 if self.spec.name == "big" else 1
        return text_result(str(arguments.get("text", "x")) * size)


def box(folder: Path, *tools: Made, flight: Flight | None = None) -> ToolSet:
    return ToolSet(ToolSetParts(tools, flight or Flight(), Spool(folder / "spool")))


def run(toolbox: ToolSet, *uses: ToolUse) -> tuple[ToolResult, ...]:
    return asyncio.run(toolbox.run(uses, lambda: None))


def test_results_come_in_the_order_of_the_calls(tmp_path: Path) -> None:
    toolbox = box(tmp_path, Made("echo"))

    results = run(toolbox, *(ToolUse(str(n), "echo", {"text": str(n)}) for n in range(5)))

    assert [result.text for result in results] == ["0", "1", "2", "3", "4"]


def test_only_reading_calls_run_side_by_side(tmp_path: Path) -> None:
    reads, writes = Made("read", read_only=True), Made("write")
    toolbox = box(tmp_path, reads, writes)

    run(toolbox, *(ToolUse(str(n), "read", {}) for n in range(4)))
    run(toolbox, ToolUse("1", "read", {}), ToolUse("2", "write", {}), ToolUse("3", "write", {}))

    assert (reads.most, writes.most) == (4, 1)


def test_a_tool_that_breaks_or_is_unknown_is_told(tmp_path: Path) -> None:
    toolbox = box(tmp_path, Made("break"))

    broken, unknown, shapeless, wrong = run(
        toolbox,
        ToolUse("1", "break", {}),
        ToolUse("2", "nothing", {}),
        ToolUse("3", "break", "text"),
        ToolUse("4", "break", {"text": 5}),
    )

    assert "RuntimeError: broken" in broken.text
    assert "there is no tool 'nothing'" in unknown.text
    assert "must be an object" in shapeless.text
    assert "text must be of type string" in wrong.text
    assert all(result.is_error for result in (broken, unknown, shapeless, wrong))


def test_a_tool_that_never_returns_ends(tmp_path: Path) -> None:
    (result,) = run(box(tmp_path, Made("hang")), ToolUse("1", "hang", {}))

    assert result.is_error
    assert "did not return in time" in result.text


def test_a_result_of_fifty_megabytes_is_cut_and_kept(tmp_path: Path) -> None:
    (result,) = run(box(tmp_path, Made("big")), ToolUse("1", "big", {}))

    assert len(result.text) < 61_000
    (file,) = (tmp_path / "spool").iterdir()
    assert str(file) in result.text
    assert file.stat().st_size == 50_000_000


def test_names_of_other_programs_reach_the_same_tool(tmp_path: Path) -> None:
    (result,) = run(box(tmp_path, Made("echo", alias="Echo")), ToolUse("1", "Echo", {"text": "hi"}))

    assert result.text == "hi"


def test_the_host_sees_which_tool_is_at_work(tmp_path: Path) -> None:
    flight = Flight()

    run(box(tmp_path, Made("echo"), flight=flight), ToolUse("1", "echo", {}))

    assert flight.seen == ["echo", "-"]


def test_the_host_sees_the_longest_of_the_tools_at_work(tmp_path: Path) -> None:
    flight = Flight()
    whole = box(tmp_path, Made("echo"), Made("bash"), flight=flight)

    async def sub_agent() -> None:
        part = whole.subset(frozenset({"echo", "bash"}))
        async with whole.at_work("task", 1200.0):
            await part.run([ToolUse("1", "echo", {})], lambda: None)
            await part.run([ToolUse("2", "bash", {})], lambda: None)

    asyncio.run(sub_agent())

    assert flight.seen == ["task", "bash", "task", "-"]


def test_an_error_that_ends_the_process_stays_what_it_is(tmp_path: Path) -> None:
    toolbox = box(tmp_path, Made("fenced", read_only=True), Made("wait", read_only=True))

    with pytest.raises(FencedOffError):
        run(toolbox, ToolUse("1", "wait", {}), ToolUse("2", "fenced", {}))
    with pytest.raises(FencedOffError):
        run(toolbox, ToolUse("1", "fenced", {}))


def test_one_that_never_returns_does_not_hold_the_others(tmp_path: Path) -> None:
    toolbox = box(tmp_path, Made("hang", read_only=True), Made("echo", read_only=True))

    hung, fine = run(toolbox, ToolUse("1", "hang", {}), ToolUse("2", "echo", {"text": "hi"}))

    assert "did not return in time" in hung.text
    assert fine.text == "hi"


def test_an_open_question_keeps_the_process(tmp_path: Path) -> None:
    flight = Flight()
    toolbox = box(tmp_path, Made("echo"), flight=flight)

    assert not toolbox.busy
    flight.open_questions = True
    assert toolbox.busy


def test_what_no_request_can_carry_is_made_harmless(tmp_path: Path) -> None:
    (result,) = run(box(tmp_path, Made("odd")), ToolUse("1", "odd", {}))

    assert result.text == "a?b\n(an image that cannot be shown: it is no image/png)"


def test_documents_of_one_answer_fit_into_one_request(tmp_path: Path) -> None:
    toolbox = box(tmp_path, Made("document", read_only=True))

    results = run(toolbox, *(ToolUse(str(number), "document", {}) for number in range(4)))

    shown = [isinstance(result.parts[0], DocumentPart) for result in results]
    assert shown == [True, True, False, False]
    assert "look at it again by itself" in results[3].text


def test_a_sub_agent_has_tools_of_its_own(tmp_path: Path) -> None:
    shared, own = Made("a"), Made("a")
    parts = ToolSetParts(
        (shared, Made("b")),
        Flight(),
        Spool(tmp_path / "spool"),
        branch=lambda: Branch((own,), ()),
    )

    async def scene() -> None:
        part = ToolSet(parts).subset(frozenset({"a", "b"}))
        await part.run([ToolUse("1", "a", {}), ToolUse("2", "b", {})], lambda: None)
        await part.close()

    asyncio.run(scene())

    assert (shared.most, own.most) == (0, 1)


class Servers:
    """A server whose one tool answers to its name."""

    busy = False

    def prepare(self) -> None: ...

    async def specs(self) -> tuple[ToolSpec, ...]:
        return (Made("mcp__a__b").spec,)

    def find(self, name: str) -> Made:
        return Made(name)

    def take_notes(self) -> tuple[str, ...]:
        return ()

    async def close(self) -> None: ...


def test_a_tool_that_is_switched_off_cannot_be_called_by_name(tmp_path: Path) -> None:
    spool, off = Spool(tmp_path / "spool"), frozenset({"mcp__a__b", "echo"})
    toolbox = ToolSet(ToolSetParts((Made("echo"),), Flight(), spool, Servers(), disabled=off))

    assert asyncio.run(toolbox.specs()) == ()
    for result in run(toolbox, ToolUse("1", "mcp__a__b", {}), ToolUse("2", "echo", {})):
        assert "there is no tool" in result.text


def test_a_subset_has_fewer_tools(tmp_path: Path) -> None:
    small = box(tmp_path, Made("a"), Made("b")).subset(frozenset({"b"}))

    assert [spec.name for spec in asyncio.run(small.specs())] == ["b"]

import asyncio

import anyio
import mcp_types as types
import pytest
from mcp.shared.message import SessionMessage

from runner.mcp_client.guard import (
    BYTES_PER_WINDOW,
    MAX_OPEN_REQUESTS,
    PASSED_PER_WINDOW,
    UNASKED_PER_WINDOW,
    WINDOW_SECONDS,
    FloodError,
    Guard,
    GuardedReader,
)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def request(number: int, method: str = "tools/call") -> types.JSONRPCRequest:
    return types.JSONRPCRequest(jsonrpc="2.0", id=number, method=method)


def response(number: int | str, **result: object) -> types.JSONRPCResponse:
    return types.JSONRPCResponse(jsonrpc="2.0", id=number, result=result)


NOTE = types.JSONRPCNotification(jsonrpc="2.0", method="notifications/message")


def test_an_answer_to_a_question_passes_once() -> None:
    guard = Guard()
    guard.sending(request(7))

    assert guard.admits(response(7))
    assert not guard.admits(response(7))


def test_an_answer_whose_number_came_back_as_text_passes() -> None:
    guard = Guard()
    guard.sending(request(7))

    assert guard.admits(response("7"))


def test_an_answer_to_a_cancelled_question_goes_nowhere() -> None:
    guard = Guard()
    guard.sending(request(7))
    guard.sending(
        types.JSONRPCNotification(
            jsonrpc="2.0", method="notifications/cancelled", params={"requestId": 7}
        )
    )

    assert not guard.admits(response(7))


def test_notifications_pass_up_to_a_number_per_window() -> None:
    clock = Clock()
    guard = Guard(clock)

    passed = sum(guard.admits(NOTE) for _ in range(PASSED_PER_WINDOW + 10))
    clock.now += WINDOW_SECONDS

    assert passed == PASSED_PER_WINDOW
    assert guard.dropped == 10
    assert guard.admits(NOTE)


def test_answers_pass_even_when_notifications_do_not() -> None:
    guard = Guard(Clock())
    guard.sending(request(1))
    for _ in range(PASSED_PER_WINDOW + 1):
        guard.admits(NOTE)

    assert guard.admits(response(1))


def test_a_flood_ends_the_connection() -> None:
    guard = Guard(Clock())
    for _ in range(UNASKED_PER_WINDOW):
        guard.garbage()

    with pytest.raises(FloodError):
        guard.admits(NOTE)


def test_too_many_bytes_end_the_connection() -> None:
    guard = Guard(Clock())
    guard.heard(BYTES_PER_WINDOW)

    with pytest.raises(FloodError):
        guard.heard(1)


def test_a_server_has_a_limited_number_of_open_requests() -> None:
    guard = Guard(Clock())

    passed = sum(guard.admits(request(number, "ping")) for number in range(MAX_OPEN_REQUESTS + 5))
    guard.sending(response(0))

    assert passed == MAX_OPEN_REQUESTS
    assert guard.admits(request(99, "ping"))


def test_a_list_of_tools_is_cleaned_and_its_limit_holds_over_pages() -> None:
    guard = Guard()
    guard.begin_listing()
    pages = []
    for number in (1, 2):
        guard.sending(request(number, "tools/list"))
        tools = [{"name": f"t{number}-{index}", "inputSchema": {}} for index in range(300)]
        page = response(number, tools=[*tools, "bad"])
        guard.admits(page)
        pages.append(page)

    assert [len(page.result["tools"]) for page in pages] == [300, 200]
    assert guard.tools_left_out == 1 + 101


def test_the_session_sees_the_end_after_a_flood() -> None:
    async def scenario() -> tuple[list[object], list[str]]:
        send, receive = anyio.create_memory_object_stream[SessionMessage | Exception](10)
        guard = Guard(Clock())
        reasons: list[str] = []
        reader = GuardedReader(receive, guard, reasons.append)
        send.send_nowait(SessionMessage(NOTE))
        send.send_nowait(ValueError("garbage"))
        for _ in range(UNASKED_PER_WINDOW - 2):
            guard.garbage()
        send.send_nowait(ValueError("one too many"))
        async with send, reader:
            return [item async for item in reader], reasons

    seen, reasons = asyncio.run(scenario())

    assert len(seen) == 1
    assert len(reasons) == 1
    assert "floods" in reasons[0]

from helpers.claude_memory_build import assistant, user

from contract.outbound.row import UsageTotal
from runner.providers.claude.records import Message
from runner.providers.claude.report import (
    MAX_FILES,
    ContextFacts,
    CostFacts,
    FileLine,
    files_in,
    render_context,
    render_cost,
    render_files,
)


def test_context_shows_the_parts_and_what_is_free() -> None:
    facts = ContextFacts(
        model="claude-sonnet-5-5",
        window=1_000_000,
        threshold=165_000,
        system=10_000,
        tools=5_000,
        messages=67_500,
        exact=False,
        message_count=42,
    )

    text = render_context(facts)

    assert text.startswith("Context of this conversation (claude-sonnet-5-5), about 50 % full:")
    assert "Messages (42)" in text
    assert "82,500" in text
    widths = {len(line) for line in text.splitlines()[2:]}
    assert len(widths) == 1


def test_context_over_the_threshold_has_nothing_free() -> None:
    facts = ContextFacts("m", 10, 0, 5, 5, 5, exact=True, message_count=1)

    assert "Free until compaction   0" in render_context(facts).replace("     ", " ")


def test_cost_shows_both_columns_and_the_limit() -> None:
    today = UsageTotal(calls=12, input_tokens=1_000_000, cost_usd=3.5)

    text = render_cost(CostFacts(UsageTotal(calls=2, cost_usd=0.0123), today, 5.0, "2026-11-25"))

    assert "1,000,000" in text
    assert "0.0123" in text
    assert "3.50" in text
    assert "limit of a day is 5.00 USD" in text
    assert "price list of 2026-11-25" in text


def test_unknown_price_is_said_and_not_shown_as_nothing() -> None:
    unpriced = UsageTotal(calls=2, unpriced=2)

    text = render_cost(CostFacts(unpriced, UsageTotal(calls=3, unpriced=2, cost_usd=1)))

    assert "unknown" in text
    assert "without a known price" in text


def test_files_are_found_in_prompts_and_calls() -> None:
    sent: Message = {
        "role": "assistant",
        "content": [
            {
                "type": "tool_use",
                "id": "t",
                "name": "mcp__nanoclaw__send_file",
                "input": {"path": "/workspace/agent/out/report.pdf"},
            }
        ],
    }
    messages = [
        user("look [image: A &amp; B.jpg — saved to /session/in/files/m-1/A &amp; B.jpg] at this"),
        assistant("[image: no.jpg — saved to /nowhere]"),
        sent,
        sent,
    ]

    files = files_in(messages)

    assert files == (
        FileLine("A & B.jpg", "/session/in/files/m-1/A & B.jpg", sent=False),
        FileLine("report.pdf", "/workspace/agent/out/report.pdf", sent=True),
    )


def test_list_of_files_is_bounded() -> None:
    many = [FileLine(f"f{number}", f"/f{number}", sent=True) for number in range(MAX_FILES + 5)]

    text = render_files([FileLine("in", "/in", sent=False), *many])

    assert text.splitlines()[:2] == ["Attached:", "- in: /in"]
    assert f"(the newest {MAX_FILES} of {MAX_FILES + 5})" in text
    assert "- f4:" not in text
    assert render_files([]).startswith("No files")

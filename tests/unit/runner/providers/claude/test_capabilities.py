import pytest

from runner.providers.claude.capabilities import (
    EFFORTS,
    UNKNOWN,
    Capabilities,
    EffortChoice,
    capabilities_of,
    choose_effort,
    choose_max_tokens,
    choose_thinking,
    known_capabilities,
)
from runner.providers.claude.endpoint import Endpoint, read_endpoint


def test_unknown_model_gets_the_careful_defaults() -> None:
    assert known_capabilities("qwen-9") == UNKNOWN
    assert (UNKNOWN.context_tokens, UNKNOWN.output_tokens) == (200_000, 8_192)
    assert choose_thinking(UNKNOWN) is None
    assert not (UNKNOWN.server_compaction or UNKNOWN.server_tools or UNKNOWN.system_role)


@pytest.mark.parametrize(
    ("model", "context", "system_role"),
    [
        ("claude-sonnet-5-5", 1_000_000, True),
        ("claude-sonnet-5", 1_000_000, False),
        ("claude-sonnet-5-20260630", 1_000_000, False),
        ("claude-opus-5-5", 1_000_000, True),
        ("claude-haiku-4-5-20251001", 200_000, False),
        ("claude-sonnet-51", 200_000, False),
    ],
)
def test_longest_prefix_of_the_name_decides(model: str, context: int, system_role: bool) -> None:
    known = known_capabilities(model)

    assert (known.context_tokens, known.system_role) == (context, system_role)


def supported(value: bool) -> dict[str, object]:
    return {"supported": value}


def test_models_api_overrides_the_table() -> None:
    told = capabilities_of(
        {
            "id": "claude-sonnet-5-5",
            "max_input_tokens": 500_000,
            "max_tokens": 1000,
            "capabilities": {
                "thinking": {"supported": True, "types": {"adaptive": supported(False)}},
                "effort": {
                    "supported": True,
                    "low": supported(True),
                    "high": supported(True),
                    "xhigh": None,
                },
                "compaction": None,
                "image_input": supported(False),
                "pdf_input": supported(True),
                "server_tools": supported(False),
            },
        }
    )

    assert told == Capabilities(
        context_tokens=500_000,
        output_tokens=1000,
        adaptive_thinking=False,
        efforts=("low", "high"),
        server_compaction=True,
        system_role=True,
        server_tools=False,
        images=False,
        documents=True,
    )


def test_new_model_is_known_by_what_the_api_says() -> None:
    told = capabilities_of(
        {
            "id": "claude-next-9",
            "max_input_tokens": 2_000_000,
            "max_tokens": None,
            "capabilities": {
                "thinking": {"types": {"adaptive": supported(True)}},
                "compaction": {"supported": True, "summarize": supported(True)},
            },
        }
    )

    assert told.context_tokens == 2_000_000
    assert told.output_tokens == UNKNOWN.output_tokens
    assert choose_thinking(told) == {"type": "adaptive"}
    assert told.server_compaction


@pytest.mark.parametrize("broken", [{}, {"id": 7}, {"capabilities": "x"}, {"max_tokens": -1}])
def test_strange_entry_gives_the_defaults(broken: dict[str, object]) -> None:
    assert capabilities_of(broken) == UNKNOWN


@pytest.mark.parametrize(
    ("wanted", "efforts", "expected"),
    [
        (None, EFFORTS, None),
        ("max", EFFORTS, "max"),
        ("xhigh", ("low", "medium", "high", "max"), "high"),
        ("max", ("low",), "low"),
        ("low", ("high",), None),
        ("medium", (), None),
        ("strange", EFFORTS, None),
    ],
)
def test_nearest_lower_effort_is_taken(
    wanted: str | None, efforts: tuple[str, ...], expected: str | None
) -> None:
    choice = choose_effort(wanted, Capabilities(efforts=efforts))

    assert choice.effort == expected
    assert (choice.problem is None) is (wanted == expected)


def test_wish_that_is_met_makes_no_words() -> None:
    assert choose_effort("high", Capabilities(efforts=EFFORTS)) == EffortChoice("high")


@pytest.mark.parametrize(
    ("output", "effort", "expected"),
    [(128_000, None, 32_000), (128_000, "max", 64_000), (8_192, "xhigh", 8_192)],
)
def test_size_of_an_answer(output: int, effort: str | None, expected: int) -> None:
    assert choose_max_tokens(Capabilities(output_tokens=output), effort) == expected


@pytest.mark.parametrize(
    ("compat", "expected"),
    [
        ({}, Endpoint(compatible=False, cache=True)),
        ({"endpoint": "anthropic"}, Endpoint(compatible=False, cache=True)),
        ({"endpoint": "compatible"}, Endpoint(compatible=True, cache=False)),
        ({"endpoint": "compatible", "cache": True}, Endpoint(compatible=True, cache=True)),
        ({"endpoint": "who knows"}, Endpoint(compatible=True, cache=False)),
        ({"endpoint": 7, "cache": "yes"}, Endpoint(compatible=True, cache=False)),
    ],
)
def test_host_says_what_the_far_end_is(compat: dict[str, object], expected: Endpoint) -> None:
    assert read_endpoint(compat) == expected

"""Who gets a door."""

import pytest

from nanoclaw.model import EgressMode
from nanoclaw.sweep.decide import decide_door


@pytest.mark.parametrize(
    ("provider", "egress_mode", "expected"),
    [
        ("claude", None, True),
        ("claude", EgressMode.NONE, True),
        ("something-new", None, True),
        ("scripted", None, False),
        ("scripted", EgressMode.NONE, False),
        ("mock", None, False),
        ("scripted", EgressMode.ALLOWLIST, True),
        ("scripted", EgressMode.OPEN, True),
    ],
)
def test_door_is_for_models_and_for_egress_that_was_asked_for(
    provider: str, egress_mode: EgressMode | None, expected: bool
) -> None:
    assert decide_door(provider, egress_mode) is expected

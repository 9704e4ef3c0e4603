import pytest

from contract.address import Destination, DestinationType
from runner.instructions.compaction import MAX_WISH, compaction_instructions

FAMILY = Destination("family", "The Family", DestinationType.CHANNEL, "telegram", "-100")


@pytest.mark.parametrize(
    "kept",
    [
        '<message id="12" from="family" sender="Kim" time=',
        "<task from=",
        "<webhook from=",
        "all attributes",
        "order of the newest messages",
        "scheduled tasks",
        "promised",
        "Paths of files",
        "Decisions",
        "CLAUDE.local.md",
    ],
)
def test_summariser_is_told_what_to_keep(kept: str) -> None:
    assert kept in compaction_instructions([FAMILY])


def test_summary_ends_with_the_reminder_how_to_answer() -> None:
    text = compaction_instructions([FAMILY])

    assert text.endswith('wrapped in `<message to="name">…</message>`. Destinations: `family`.')
    assert compaction_instructions([]).endswith("Destinations: (none).")


def test_wish_of_whoever_asked_is_passed_on_within_bounds() -> None:
    text = compaction_instructions([FAMILY], "  keep the recipe " + "x" * 10_000)

    assert "keep the recipe" in text
    assert len(text) < len(compaction_instructions([FAMILY])) + MAX_WISH + 200
    assert compaction_instructions([FAMILY], " ") == compaction_instructions([FAMILY])

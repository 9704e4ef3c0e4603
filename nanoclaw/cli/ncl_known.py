"""What the client knows of commands before it asks: which cannot be undone, which take long.

Used by ``ncl``. Loading the whole registry would cost more than the call, so these few names are
written out; a test compares them with the registry. Pure.
"""

from collections.abc import Mapping, Sequence

from contract.ncl_words import Typed

USUAL_SECONDS = 30.0
REBUILD_SECONDS = 20 * 60.0
"""An image is built meanwhile (N-27)."""
DESTRUCTIVE: frozenset[str] = frozenset(
    {
        "budgets-remove",
        "budgets-rm",
        "destinations-remove",
        "egress-remove",
        "groups-config-remove-mcp-server",
        "groups-config-remove-mount",
        "groups-config-remove-package",
        "groups-delete",
        "members-remove",
        "messaging-groups-delete",
        "roles-revoke",
        "services-remove",
        "tasks-cancel",
        "wirings-delete",
    }
)
"""What takes something away that nothing brings back by itself."""
SECONDS: Mapping[str, float] = {"audit-verify": 600}
"""Of the commands that may take longer than usual, whatever their flags."""


def is_destructive(typed: Typed) -> bool:
    """Whether a person is asked first; not for a look at what would happen, nor for help."""
    if "help" in typed.args or typed.args.keys() & {"dry-run", "dry_run"}:
        return False
    return _name(typed.positionals, DESTRUCTIVE) is not None


def usual_seconds(typed: Typed) -> float:
    if "rebuild" in typed.args:
        return REBUILD_SECONDS
    name = _name(typed.positionals, SECONDS)
    return USUAL_SECONDS if name is None else SECONDS[name]


def _name(words: Sequence[str], names: frozenset[str] | Mapping[str, float]) -> str | None:
    """As the host finds it: the longest run of words that is a command (N-33)."""
    for length in range(len(words), 0, -1):
        name = "-".join(words[:length])
        if name in names:
            return name
    return None

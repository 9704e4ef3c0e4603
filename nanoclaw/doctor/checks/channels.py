"""Channels, chats and people."""

import shlex
from pathlib import Path

from nanoclaw.channels.state_file import ConnectionState, read_channel_state
from nanoclaw.doctor.base import Check, Finding, Severity
from nanoclaw.doctor.facts import CannotLookError, Facts

BAD = (ConnectionState.DEGRADED, ConnectionState.BACKOFF, ConnectionState.AUTH_FAILED)
SHOWN = 5


def _files(facts: Facts) -> list[Path]:
    return sorted(facts.paths.run.glob("channel-*.json"))


def _failing(facts: Facts) -> Finding | None:
    if facts.host_pid is None:
        raise CannotLookError("no host is running")
    states = [state for state in map(read_channel_state, _files(facts)) if state is not None]
    bad = [state for state in states if state.state in BAD]
    if not bad:
        return None
    shown = "; ".join(f"{state.instance} is {state.state}: {state.last_error or 'no reason'}"
                      for state in bad[:SHOWN])  # fmt: skip
    return Finding(shown, "Messages of that platform wait.", facts.command("service restart"))


def _state_files(facts: Facts) -> Finding | None:
    bad = [path for path in _files(facts) if read_channel_state(path) is None]
    if not bad:
        return None
    fix = "rm " + " ".join(shlex.quote(str(path)) for path in bad[:SHOWN])
    return Finding(f"{bad[0].name} makes no sense", "The state of that channel is not shown.", fix)


def _many_agents(facts: Facts) -> Finding | None:
    rows = facts.ask_central("many-agents")
    if not rows:
        return None
    shown = ", ".join(f"{row[0]} ({row[1]} agents)" for row in rows[:SHOWN])
    return Finding(shown, "Each message there may be answered more than once.",
                   facts.command("ncl wirings list"))  # fmt: skip


def _unwired(facts: Facts) -> Finding | None:
    rows = facts.ask_central("unwired")
    if not rows:
        return None
    return Finding(
        f"{len(rows)} groups that no agent answers, such as {rows[0][0]}",
        "Messages there are dropped.",
        facts.command("ncl wirings create --help"),
    )


def _owner(facts: Facts) -> Finding | None:
    rows, kinds = facts.ask_central("owners"), facts.ask_central("channels")
    if rows or all(row[0] == "cli" for row in kinds):
        return None
    return Finding("chats are connected, and nobody is the owner",
                   "Nobody gets notices or may approve what agents ask for.",
                   facts.command("ncl roles grant USER --role owner"), by_hand=True)  # fmt: skip


def _group_folders(facts: Facts) -> Finding | None:
    """Of agents that have said something: the folder is made at an agent's first start."""
    missing = [(row[1], row[2]) for row in facts.ask_central("groups")
               if not (facts.paths.groups / row[2]).is_dir()]  # fmt: skip
    if not missing:
        return None
    name, folder = missing[0]
    return Finding(f"the folder of the agent {name} is gone: groups/{folder}",
                   "Its memory and instructions are not there; it starts without.",
                   f"mkdir -m 700 {shlex.quote(str(facts.paths.groups / folder))}")  # fmt: skip


_W, _N = Severity.WARNING, Severity.NOTE
CHECKS = (
    Check("channel-connected", "channels", _W, "channels are connected", _failing),
    Check("channel-state", "channels", _N, "states of channels can be read", _state_files),
    Check("chat-agents", "chats", _N, "one agent answers in each chat", _many_agents),
    Check("chat-unwired", "chats", _N, "an agent answers in each group", _unwired),
    Check("owner-there", "people", _W, "somebody is the owner", _owner),
    Check("agent-folders", "agents", _W, "each agent has its folder", _group_folders),
)

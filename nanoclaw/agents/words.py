"""What the host says to agents and owners about agents: all texts in one place.

Each says what happened, what it means and what to do next. Names come from people and agents, so
they are shortened and put on one line. Pure.
"""

from nanoclaw.agents.decide import MAX_HOPS, PAIR_MESSAGES, PAIR_WINDOW, QUIET, Limit, Refusal

MAX_SHOWN = 100
MAX_REASON = 1000
_MINUTES = int(PAIR_WINDOW.total_seconds() // 60)
_QUIET_MINUTES = int(QUIET.total_seconds() // 60)


def shown(name: str) -> str:
    """A foreign name in a sentence of ours."""
    line = "".join(char if char.isprintable() else " " for char in name)
    return f"{line[:MAX_SHOWN]}…" if len(line) > MAX_SHOWN else line


def shortened(reason: str) -> str:
    """What another program reported; its end says most."""
    line = " ".join(reason.split())
    return line if len(line) <= MAX_REASON else f"…{line[-MAX_REASON:]}"


REFUSALS = {
    Refusal.NO_TARGET: "Your message names no agent to go to, so it was not sent.",
    Refusal.UNKNOWN_TARGET: (
        "Your message was not delivered: the agent that you wrote to does not exist any more."
    ),
    Refusal.NOT_PERMITTED: (
        "Your message was not delivered: that agent is not among your destinations. Write only to "
        "destinations listed in your instructions, or ask a person to connect you."
    ),
}

BRAKES = {
    Limit.HOPS: f"the conversation has gone on for {MAX_HOPS} messages without a person",
    Limit.RATE: f"{PAIR_MESSAGES} messages have passed in {_MINUTES} minutes",
}


def braked(limit: Limit, peer: str) -> str:
    """For the agent that ran into the limit."""
    return (
        f"Your message to {shown(peer)} was not delivered: {BRAKES[limit]}. Nothing passes between "
        f"you two until neither has tried for {_QUIET_MINUTES} minutes. Do not try again now: "
        "finish with what you know, and tell the person you work for where things stand."
    )


def storm(limit: Limit, sender: str, peer: str) -> str:
    """For the owner, once per storm."""
    return (
        f"Agents {shown(sender)} and {shown(peer)} are talking to each other too much: "
        f"{BRAKES[limit]}. Messages between them are refused until both have been quiet for "
        f"{_QUIET_MINUTES} minutes. Look at what they are doing."
    )


def not_for_agents(what: str) -> str:
    return (
        f"Your {what} was not delivered: other agents get plain messages only. Send a new message "
        "instead."
    )


def files_left_out(peer: str, reasons: list[str]) -> str:
    listed = "; ".join(shown(reason) for reason in reasons)
    return f"Your message to {shown(peer)} was delivered without some files: {listed}."


def agent_created(name: str, local_name: str) -> str:
    return (
        f"Agent {shown(name)!r} is there. It is your destination {local_name!r}: write to it by "
        "that name."
    )


def name_taken(local_name: str) -> str:
    return (
        f"No agent was created: you have a destination {local_name!r} already. Write to that one, "
        "or ask again with another name."
    )


def not_usable(what: str, reason: str) -> str:
    """For a request that cannot be granted as it is."""
    return f"{what} was refused: {reason}. Nothing was changed."


def installed(listed: str) -> str:
    return (
        f"Approved and installed: {listed}. Your container is new. Verify that they work, then go "
        "on with what you needed them for."
    )


def not_installed(listed: str, reason: str) -> str:
    return (
        f"The installation of {listed} was approved but failed, and nothing was changed: "
        f"{reason}. Correct the names, or do without them."
    )


def installed_already(listed: str) -> str:
    return f"Nothing had to be installed: {listed} is in your container already."


def server_added(name: str) -> str:
    return (
        f"Approved: tool server {shown(name)!r} is configured. Your container is new. Verify that "
        "its tools are there, then go on with what you needed them for."
    )

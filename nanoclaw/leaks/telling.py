"""Sentences about a leak that was stopped, for owners and agents. Pure; never with a value."""

from nanoclaw.leaks.scanner import Found
from nanoclaw.secret_store.entries import is_name

REASON = "it contains a secret of this installation"
"""For chats and agents: which one is the owner's affair."""


def owner_text(agent: str, where: str, found: Found) -> str:
    return (
        f"I stopped {where} of {agent}: it contained your secret {found.name} ({found.form})."
        f" Nothing of it left. The agent has seen this secret, so replace it: {remedy(found.name)}"
    )


def remedy(name: str) -> str:
    if is_name(name):
        return f"Make a new one where it came from and run: nanoclaw secrets rotate {name}"
    return f"Make a new one where it came from and change {name}"

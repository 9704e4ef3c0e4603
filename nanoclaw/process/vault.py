"""Composition root of the ``vault`` process: doors, budgets, the model's address.

Started with the first door and not before, and not preloaded: it brings asyncio, TLS and HTTP
along, which no other child pays for.
"""

from nanoclaw.supervise.child import ChildContext


def run(context: ChildContext) -> None:
    """Serves containers until SIGTERM."""
    from nanoclaw.vault.service import run_vault

    run_vault(context)

"""What a builder process runs in tests: its order says how it ends, and a file that it ran."""

from contract.ids import new_id
from nanoclaw.containers.group_image import GroupOrder
from nanoclaw.errors import ContainerError
from nanoclaw.supervise.child import ChildContext


def build(order: GroupOrder, context: ChildContext) -> None:
    """Fails for a package ``nonesuch``; leaves one file per build in the home."""
    context.ready()
    (context.config.home / new_id("built")).write_text(" ".join(order.packages.apt))
    if "nonesuch" in order.packages.apt:
        raise ContainerError("Unable to locate package nonesuch")

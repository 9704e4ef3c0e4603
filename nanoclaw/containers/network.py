"""How agents of this installation reach the vault: what was found out, as ``run/network.json``.

Written by ``relays`` before the first agent with a door is started; read by the vault, which opens
its TCP entrance only if it says so, and by whoever shows the status. ``socket`` is the way where a
socket in a mounted folder can be connected to from a container; ``relay`` is for all other engines.
"""

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from nanoclaw.containers.files import write_file
from nanoclaw.paths import HostPaths

NAME = "network.json"
MAX_BYTES = 64 * 1024
SOCKET, RELAY = "socket", "relay"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """``address``: where containers find the host; empty unless the way is the relay."""

    way: str
    why: str
    setting: str
    engine: str
    image: str
    address: str = ""

    @property
    def is_relay(self) -> bool:
        return self.way == RELAY

    def holds_for(self, setting: str, engine: str, image: str) -> bool:
        return (self.setting, self.engine, self.image) == (setting, engine, image)


def network_file(paths: HostPaths) -> Path:
    return paths.run / NAME


def read_network(paths: HostPaths) -> NetworkFacts | None:
    """None when nobody has found out yet, or the file makes no sense."""
    try:
        with network_file(paths).open("rb") as file:
            fields = json.loads(file.read(MAX_BYTES))
        facts = NetworkFacts(**fields)
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    good = all(isinstance(value, str) for value in asdict(facts).values())
    return facts if good and facts.way in (SOCKET, RELAY) else None


def write_network(paths: HostPaths, facts: NetworkFacts) -> None:
    """A file that cannot be written stops the relay only, whose vault then never listens."""
    try:
        write_file(network_file(paths), json.dumps(asdict(facts), indent=1) + "\n")
    except OSError as error:
        log.warning("network facts not written", extra={"reason": str(error)})


def door_text(facts: NetworkFacts | None) -> str:
    """One line for people."""
    return "" if facts is None else f"{facts.way} ({facts.why})"

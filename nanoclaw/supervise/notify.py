"""Messages to the service manager in the protocol of sd_notify(3), without its library.

Used by ``supervisor``. Where no service manager asked to be told, nothing is sent. A message
that cannot be delivered is dropped: the manager's own time limits are the safety net.
"""

import logging
import os
import socket
from dataclasses import dataclass

from nanoclaw.config import ServiceManager

log = logging.getLogger(__name__)

WATCHDOG_SHARE = 0.5
"""Sign of life after this share of the time that systemd allows, as its manual advises."""


@dataclass(frozen=True, slots=True)
class Notifier:
    """Tells one service manager about this process."""

    manager: ServiceManager

    @property
    def watchdog_seconds(self) -> float | None:
        limit = self.manager.watchdog_usec
        if limit is None or self.manager.watchdog_pid not in (None, os.getpid()):
            return None
        return limit / 1_000_000 * WATCHDOG_SHARE

    def ready(self, status: str) -> None:
        self._send("READY=1", f"STATUS={status}", f"MAINPID={os.getpid()}")

    def status(self, status: str) -> None:
        self._send(f"STATUS={status}")

    def alive(self) -> None:
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        self._send("STOPPING=1", "STATUS=stopping")

    def _send(self, *lines: str) -> None:
        address = self.manager.notify_socket
        if address is None:
            return
        if address.startswith("@"):
            address = "\0" + address[1:]  # Linux's abstract names are written with an @
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            try:
                sender.sendto("\n".join(lines).encode(), address)
            except OSError as error:
                log.warning("service manager not told", extra={"reason": str(error)})

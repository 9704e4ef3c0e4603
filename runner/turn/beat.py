"""Who keeps the heartbeat going: a turn, a script, a command; it rests when nobody does (R-97).

Made by the loop; everyone who works on claimed rows holds it under a name of his own.
"""

from enum import StrEnum

from runner.heartbeat import Heartbeat


class Holder(StrEnum):
    TURN = "turn"
    GATE = "gate"
    COMMAND = "command"


class Beat:
    """Holding twice is holding once."""

    def __init__(self, heartbeat: Heartbeat) -> None:
        self._heartbeat = heartbeat
        self._holders: set[Holder] = set()

    def hold(self, holder: Holder) -> None:
        self._holders.add(holder)
        self._heartbeat.begin()

    def drop(self, holder: Holder) -> None:
        self._holders.discard(holder)
        if not self._holders:
            self._heartbeat.end()

    def note_sign(self) -> None:
        """Something happened, so the silence of R-97 begins anew."""
        self._heartbeat.note_sign()

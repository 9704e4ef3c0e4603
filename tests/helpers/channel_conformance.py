"""Platform drivers: the other side of a channel, for the conformance suite (C 6.2).

A driver acts as people and as the network of one platform. What the platform itself does against
doubles happens inside the driver; ``shown`` is what a person would have read. A channel takes
part in a scenario when its driver has the abilities that the scenario needs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from helpers.channel_terminal import RawClient
from helpers.channel_worker import Stage, open_stage
from helpers.terminal import Terminal
from helpers.waiting import wait_until

from nanoclaw.events import Deliver
from nanoclaw.link import Answer


class Ability(StrEnum):
    """What only some platforms have."""

    SECOND_PERSON = "a second person in a chat of their own"
    QUESTIONS = "questions can be answered"
    FILES_OUT = "files can be sent"
    KEPT_OUTPUT = "what nobody is there to read waits"


class Driver(Protocol):
    """One platform, with a worker connected to it."""

    name: str
    abilities: frozenset[Ability]
    stage: Stage

    def say(self, text: str, *, person: int = 1) -> None:
        """A person writes to the bot; the message is under way when this returns."""

    def repeat_last(self) -> None:
        """The platform delivers the last event again."""

    def send_malformed(self) -> None:
        """Something that is no message of this platform."""

    def send_nothing(self) -> None:
        """An event without content."""

    def cut(self) -> None:
        """The connection between platform and people or bot breaks."""

    def restore(self) -> None: ...

    def shown(self, *, person: int = 1) -> list[str]: ...


@dataclass
class CliDriver:
    """People are terminal programs that reconnect, resend and drop repeated replies."""

    stage: Stage
    name: str = "cli"
    abilities: frozenset[Ability] = frozenset(Ability)
    _people: dict[int, Terminal] = field(default_factory=dict)
    _last: str = ""
    _cut: bool = False

    def say(self, text: str, *, person: int = 1) -> None:
        self._last = self._person(person).send(text)

    def repeat_last(self) -> None:
        known = self.stage.router.events[-1]
        assert known.reply_hint is not None
        client, _, line_id = known.reply_hint.partition("~")
        copy = RawClient(self.stage.paths.socket("cli"), client)
        copy.say(known.text, line_id)
        copy.close()

    def send_malformed(self) -> None:
        self._raw(b'{"text": \n')

    def send_nothing(self) -> None:
        self._raw(b'{"text": ""}\n')

    def cut(self) -> None:
        self._cut = True
        for terminal in self._people.values():
            terminal.close()

    def restore(self) -> None:
        self._cut = False

    def shown(self, *, person: int = 1) -> list[str]:
        if not self._cut:
            self._person(person).receive(0.01)
        return [reply.text for reply in self._person(person).replies]

    def close(self) -> None:
        for terminal in self._people.values():
            terminal.close()

    def _person(self, number: int) -> Terminal:
        if number not in self._people:
            self._people[number] = Terminal(self.stage.paths.socket("cli"))
            self._people[number].receive(0.01)
        return self._people[number]

    def _raw(self, data: bytes) -> None:
        client = RawClient(self.stage.paths.socket("cli"))
        client.write_raw(data)
        client.close()


@contextmanager
def open_cli(home: Path) -> Iterator[Driver]:
    with open_stage(home, process=True) as stage:
        driver = CliDriver(stage)
        try:
            yield driver
        finally:
            driver.close()


DRIVERS = {"cli": open_cli}
"""Every channel's name and how its stage is opened; a new adapter adds one line."""
ABILITIES = {"cli": frozenset(Ability)}


def wait_until_shown(driver: Driver, *texts: str, person: int = 1, within: float = 15) -> None:
    """Waits for the last text, then compares all that the person has read."""
    wait_until(lambda: texts[-1] in driver.shown(person=person), within=within, what=texts[-1])
    assert driver.shown(person=person) == list(texts)


def wait_until_routed(driver: Driver, *texts: str) -> None:
    """Waits until the host has exactly these messages, while people go on reading."""

    def routed() -> bool:
        driver.shown()
        return driver.stage.router.texts == list(texts)

    wait_until(routed, within=15, what=f"{texts} at the router")


def send(driver: Driver, *frames: Deliver) -> list[Answer]:
    """Has the worker deliver, while people go on reading; returns the answers."""
    answers = driver.stage.delivery.start(*frames)

    def answered() -> bool:
        driver.shown()
        return len(answers) == len(frames)

    wait_until(answered, within=20, what="the outcome of the deliveries")
    return answers

"""The hand-over of replies, with real sockets and a clock of the test's own."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.channel_clock import ClockedReactor

from contract.clock import utc_now
from nanoclaw.channels.cli.adapter import CliChannel
from nanoclaw.channels.cli.client import Client
from nanoclaw.channels.cli.decide import AWAY_SECONDS
from nanoclaw.channels.cli.hand_over import CONFIRM_SECONDS, HandOver, Outgoing
from nanoclaw.channels.cli.kept import KeptReplies
from nanoclaw.channels.cli.lines import Reply
from nanoclaw.channels.cli.lobby import Lobby
from nanoclaw.channels.failure import ChannelFailure
from nanoclaw.channels.part import Part
from nanoclaw.events import FailureClass


class Scene:
    """A lobby of clients whose far ends the test holds."""

    def __init__(self, folder: Path) -> None:
        self.reactor = ClockedReactor()
        self.lobby = Lobby(self.reactor.now())
        self.kept = KeptReplies(folder)
        self.hand_over = HandOver(self.reactor, self.lobby, self.kept)
        self.outcomes: list[OSError | None] = []
        self._ends: list[socket.socket] = []

    def enter(
        self, name: str, *, listens: bool = True, confirms: bool = True
    ) -> tuple[Client, socket.socket]:
        near, far = socket.socketpair()
        far.settimeout(1)
        self._ends.append(far)
        client = Client(self.reactor, near, name, lambda *_: None, self._left)
        client.named, client.listens, client.confirms = True, listens, confirms
        self.lobby.enter(client)
        return client, far

    def send(self, reply_id: str, asker: str | None = None) -> None:
        outgoing = Outgoing(Reply(f"text {reply_id}", id=reply_id), asker)
        self.hand_over.hand_over([outgoing], self.outcomes.append)

    def shown(self, far: socket.socket) -> list[str]:
        self.reactor.settle()
        far.setblocking(False)
        try:
            data = far.recv(1 << 20)
        except BlockingIOError:
            return []
        lines = [json.loads(line) for line in data.splitlines()]
        return [line["text"] for line in lines if "text" in line]

    def _left(self, client: Client) -> None:
        self.lobby.leave(client, self.reactor.now())
        self.hand_over.client_left(client)

    def close(self) -> None:
        for client in self.lobby.clients:
            client.close()
        for far in self._ends:
            far.close()
        self.hand_over.close()
        self.reactor.close()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.close()


def test_a_client_that_does_not_come_back_leaves_its_reply_to_the_windows(scene: Scene) -> None:
    asker, _ = scene.enter("asker", listens=False)
    _, window = scene.enter("window")
    asker.close()

    scene.send("r1", "asker")

    assert scene.outcomes == [None]
    assert scene.shown(window) == []
    scene.reactor.pass_time(AWAY_SECONDS)
    assert scene.shown(window)[1:] == ["text r1"]


def test_a_reply_counts_as_delivered_only_when_it_is_confirmed_or_kept(scene: Scene) -> None:
    asker, _ = scene.enter("asker")
    scene.send("r1", "asker")
    assert scene.outcomes == []

    scene.reactor.pass_time(CONFIRM_SECONDS)

    assert scene.outcomes == [None]
    assert asker.slow
    assert [item.id for item in scene.kept.all(utc_now())] == ["r1"]


def fill_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", full)


def test_a_disk_that_refuses_makes_the_delivery_fail(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_disk(monkeypatch)

    scene.send("r1")

    assert [type(outcome) for outcome in scene.outcomes] == [OSError]


def test_a_disk_that_refuses_while_a_client_waits_makes_the_delivery_fail(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.enter("asker")
    scene.send("r1", "asker")
    fill_disk(monkeypatch)

    scene.reactor.pass_time(CONFIRM_SECONDS)

    assert [type(outcome) for outcome in scene.outcomes] == [OSError]


def test_a_reply_that_was_confirmed_before_is_not_shown_again(scene: Scene) -> None:
    asker, far = scene.enter("asker")
    scene.hand_over.confirm(asker, ["r1"])

    scene.send("r1", "asker")

    assert scene.outcomes == [None]
    assert scene.shown(far) == []


def test_a_late_confirmation_settles_at_once(scene: Scene) -> None:
    asker, far = scene.enter("asker")
    scene.hand_over.recorded(["r1"])

    scene.hand_over.confirm(asker, ["r1"])

    assert json.loads(far.recv(1000)) == {"settled": ["r1"]}


def test_one_window_that_cannot_confirm_is_enough(scene: Scene) -> None:
    _, old = scene.enter("old", confirms=False)
    scene.enter("new")

    scene.send("r1")

    assert scene.outcomes == [None]
    assert scene.shown(old) == ["text r1"]


class LonelyHost:
    """As much of a host as setting up needs."""

    instance = "cli"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket_path = folder / "cli.sock"


def test_the_probe_notices_a_socket_that_was_removed(tmp_path: Path) -> None:
    channel = CliChannel()
    channel.setup(LonelyHost(tmp_path))  # type: ignore[arg-type]  # nothing else is asked of it
    channel.probe()

    (tmp_path / "cli.sock").unlink()

    with pytest.raises(ChannelFailure, match="is gone"):
        channel.probe()
    channel.teardown()


def test_before_anybody_listens_nothing_can_be_delivered() -> None:
    with pytest.raises(ChannelFailure) as caught:
        CliChannel().deliver("local", None, Part(key="k", text="x"))

    assert caught.value.failure is FailureClass.OFFLINE

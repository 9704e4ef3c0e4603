"""The delivery loop with channels that are processes of their own, killed and suspended."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from helpers.channel_terminal import RawClient
from helpers.channel_worker import WorkerProcess
from helpers.delivery_room import DeliveryRoom

from contract.content import ChatOut


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def start(room: DeliveryRoom, stack: ExitStack, instance: str) -> tuple[WorkerProcess, RawClient]:
    """A channel process and somebody at its terminal."""
    worker = WorkerProcess(room.config.paths, instance)
    stack.callback(worker.close)
    worker.start()
    client = RawClient(room.config.paths.socket(instance), f"window-{instance}")
    stack.callback(client.close)
    return worker, client


def freeze(worker: WorkerProcess, stack: ExitStack) -> int:
    assert worker.process is not None
    pid = worker.process.pid
    os.kill(pid, signal.SIGSTOP)
    stack.callback(wake, pid)
    return pid


def wake(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def test_w47_suspended_channel_delays_no_other_channel(
    delivery: DeliveryRoom, stack: ExitStack
) -> None:
    delivery.add_chat("elsewhere", channel="cli-work")
    frozen, first = start(delivery, stack, "cli")
    _, second = start(delivery, stack, "cli-work")
    delivery.start_loop()
    delivery.say("warm up")
    delivery.spin(lambda: delivery.states() == ["sent"])

    pid = freeze(frozen, stack)
    delivery.say("stuck", "behind it")
    delivery.write(
        [delivery.row("o-2", ChatOut(text="goes"), chat="elsewhere", channel="cli-work")]
    )
    delivery.spin(lambda: delivery.stored("o-2").state == "sent")
    assert second.texts == ["goes"]
    assert first.texts == ["warm up"]

    wake(pid)
    delivery.spin(lambda: delivery.states() == ["sent"] * 4)
    assert first.texts == ["warm up", "stuck", "behind it"]


def test_file_reaches_the_terminal_by_its_path_and_leaves_the_spool(
    delivery: DeliveryRoom, stack: ExitStack
) -> None:
    _, client = start(delivery, stack, "cli")
    delivery.start_loop()
    delivery.put_file("out-1", "report.txt", b"the report")

    delivery.write([delivery.row("out-1", ChatOut(text="see", files=("report.txt",)))])
    delivery.spin(lambda: delivery.states() == ["sent"])

    line = client.wait_for_text("see")
    files = line["files"]
    assert isinstance(files, list)
    assert Path(str(files[0]["path"])).read_bytes() == b"the report"
    spool = delivery.config.paths.channel("cli") / "spool" / "out"
    delivery.spin(lambda: list(spool.iterdir()) == [])
    delivery.spin(lambda: not (delivery.folder.out_dir / "files" / "out-1").exists())


def test_w19_killed_channel_sends_text_and_file_exactly_once(
    delivery: DeliveryRoom, stack: ExitStack
) -> None:
    worker, client = start(delivery, stack, "cli")
    delivery.start_loop()
    delivery.say("warm up")
    delivery.spin(lambda: delivery.states() == ["sent"])
    path = delivery.put_file("out-1", "report.txt", b"the report")
    freeze(worker, stack)
    delivery.write([delivery.row("out-1", ChatOut(text="see", files=("report.txt",)))])
    delivery.spin(lambda: delivery.stored("out-1").state == "sending")
    path.unlink()

    worker.kill()
    worker.start()
    again = RawClient(delivery.config.paths.socket("cli"), "window-cli")
    stack.callback(again.close)
    delivery.spin(lambda: delivery.stored("out-1").state == "sent")

    line = again.wait_for_text("see")
    files = line["files"]
    assert isinstance(files, list)
    assert Path(str(files[0]["path"])).read_bytes() == b"the report"
    assert (client.texts + again.texts).count("see") == 1

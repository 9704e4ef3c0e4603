"""The process runtime, the worker threads and the status file, each on its own."""

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.waiting import wait_until

from contract import layout
from contract.config import SessionConfig, dump_config
from contract.inbound.writer import create_inbound
from nanoclaw.containers.payload import unpack
from nanoclaw.containers.process_runtime import ProcessRuntime
from nanoclaw.containers.runtime import Died, ExitReport, Listening, NameTaken, RunState
from nanoclaw.containers.spec import (
    LEASE_LABEL,
    MIB,
    SESSION_LABEL,
    ContainerSpec,
    Limits,
    Mount,
    UserMapping,
)
from nanoclaw.errors import ContainerError
from nanoclaw.paths import HostPaths
from nanoclaw.reactor import Reactor
from nanoclaw.sweep.offload import Offload
from nanoclaw.sweep.status import StatusFile, SweepStatus


@pytest.fixture
def order(tmp_path: Path) -> ContainerSpec:
    """A runner that can start: folders, inbox, session file."""
    paths = HostPaths(tmp_path / "home")
    paths.ensure()
    folders = {
        layout.MOUNT_IN: tmp_path / "in",
        layout.MOUNT_OUT: tmp_path / "out",
        layout.MOUNT_WORKSPACE: tmp_path / "work",
        layout.MOUNT_HOME: tmp_path / "agent-home",
    }
    for folder in folders.values():
        folder.mkdir()
    create_inbound(tmp_path / "in" / "inbound.db")
    session = SessionConfig(session_id="s", agent_group_id="g", lease=1, provider="scripted")
    (tmp_path / "in" / "session.json").write_text(dump_config(session))
    mounts = [Mount(source, target, read_only=False) for target, source in folders.items()]
    mounts.append(Mount(unpack(paths).folder, layout.MOUNT_APP, read_only=True))
    return ContainerSpec(
        name="agent-s",
        image="",
        user=UserMapping(os.getuid(), os.getgid(), hand_over=False),
        environment=(("TZ", "UTC"),),
        mounts=tuple(mounts),
        tmpfs=(),
        labels=((SESSION_LABEL, "s"), (LEASE_LABEL, "1")),
        limits=Limits(MIB, 1.0, 10, file_bytes=64 * MIB, disk_bytes=MIB),
        log_file=tmp_path / "s.log",
    )


@pytest.fixture
def runtime() -> Iterator[ProcessRuntime]:
    made = ProcessRuntime()
    yield made
    made.close()


def wait_until_up(order: ContainerSpec) -> None:
    wait_until(lambda: "runner up" in order.log_file.read_text(), within=10, what="runner is up")


def test_started_runner_is_listed_with_its_labels(
    runtime: ProcessRuntime, order: ContainerSpec
) -> None:
    child_id = runtime.start(order)

    (found,) = runtime.list_containers()
    assert (found.container_id, found.state) == (child_id, RunState.RUNNING)
    assert (found.session_id, found.lease) == ("s", 1)


def test_second_runner_of_a_name_is_refused(runtime: ProcessRuntime, order: ContainerSpec) -> None:
    child_id = runtime.start(order)

    with pytest.raises(NameTaken, match=child_id):
        runtime.start(order)


def test_stopped_runner_leaves_in_order_and_its_end_is_told(
    runtime: ProcessRuntime, order: ContainerSpec
) -> None:
    events = runtime.events()
    assert next(events) == Listening()
    child_id = runtime.start(order)
    wait_until_up(order)

    runtime.stop(child_id, 10)

    assert next(events) == Died(child_id)
    assert runtime.read_exit(child_id) == ExitReport(0)


def test_name_of_a_dead_runner_is_free_again(runtime: ProcessRuntime, order: ContainerSpec) -> None:
    first = runtime.start(order)
    runtime.stop(first, 10)

    second = runtime.start(order)

    assert [found.container_id for found in runtime.list_containers()] == [second]


def test_removed_runner_is_gone_at_once(runtime: ProcessRuntime, order: ContainerSpec) -> None:
    child_id = runtime.start(order)

    runtime.remove(child_id)

    assert runtime.list_containers() == []
    assert runtime.read_exit(child_id).code is None
    runtime.remove(child_id)
    runtime.stop(child_id, 1)


def test_killed_runner_is_reported_like_a_container(
    runtime: ProcessRuntime, order: ContainerSpec
) -> None:
    child_id = runtime.start(order)
    os.kill(int(child_id.removeprefix("process-")), 9)

    wait_until(lambda: runtime.list_containers()[0].state is RunState.EXITED)

    assert runtime.read_exit(child_id).code == 128 + 9


def test_runner_gets_nothing_of_the_hosts_environment(
    runtime: ProcessRuntime, order: ContainerSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
    child_id = runtime.start(order)

    pid = child_id.removeprefix("process-")
    variables = Path(f"/proc/{pid}/environ").read_text().split("\0")

    assert not any("secret" in variable for variable in variables)
    assert f"HOME={order.source_of(layout.MOUNT_HOME)}" in variables


def test_limits_of_the_container_are_limits_of_the_process(
    runtime: ProcessRuntime, order: ContainerSpec
) -> None:
    child_id = runtime.start(order)
    wait_until_up(order)

    pid = child_id.removeprefix("process-")
    limits = Path(f"/proc/{pid}/limits").read_text().splitlines()

    (file_size,) = [line for line in limits if line.startswith("Max file size")]
    assert str(64 * MIB) in file_size


def test_runner_that_cannot_start_is_a_container_error(
    runtime: ProcessRuntime, order: ContainerSpec, tmp_path: Path
) -> None:
    mounts = tuple(
        replace(mount, source=tmp_path / "missing")
        if mount.target == layout.MOUNT_WORKSPACE
        else mount
        for mount in order.mounts
    )

    with pytest.raises(ContainerError, match="does not start"):
        runtime.start(replace(order, mounts=mounts))


# --- worker threads -------------------------------------------------------------------------------


# These reactors are not closed: a worker thread may still be waking one up when its result is in.


def run_until(reactor: Reactor, done: list[object], count: int) -> None:
    def step() -> bool:
        reactor.run_once(0.01)
        return len(done) >= count

    wait_until(step)


def test_results_come_back_on_the_reactors_thread() -> None:
    reactor, done = Reactor(), list[object]()
    offload = Offload(reactor)

    def note(result: str) -> None:
        done.append((result, threading.current_thread() is threading.main_thread()))

    offload.submit(lambda: threading.current_thread().name, note, done.append)
    run_until(reactor, done, 1)

    assert done == [("offload", True)]


def test_slow_calls_do_not_hold_up_each_other() -> None:
    reactor, done = Reactor(), list[object]()
    offload = Offload(reactor)
    gate = threading.Event()

    offload.submit(lambda: gate.wait(5), done.append, done.append)
    offload.submit(gate.set, done.append, done.append)
    run_until(reactor, done, 2)

    assert True in done


def test_failures_come_back_as_container_errors() -> None:
    reactor, done = Reactor(), list[object]()
    offload = Offload(reactor)

    def no_disk() -> None:
        raise OSError(28, "No space left on device")

    def no_engine() -> None:
        raise ContainerError("gone")

    offload.submit(no_disk, done.append, done.append)
    offload.submit(no_engine, done.append, done.append)
    run_until(reactor, done, 2)

    assert all(isinstance(error, ContainerError) for error in done)
    assert {"gone", "[Errno 28] No space left on device"} == {str(error) for error in done}


def test_defect_in_a_call_ends_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    reactor, done, traces = Reactor(), list[object](), list[object]()
    monkeypatch.setattr(threading, "excepthook", lambda args: traces.append(args.exc_type))

    Offload(reactor).submit(lambda: 1 // 0, done.append, done.append)

    with pytest.raises(RuntimeError, match="worker thread"):
        run_until(reactor, done, 1)
    wait_until(lambda: traces, what="its trace is printed")


# --- status ---------------------------------------------------------------------------------------

STATUS = SweepStatus(
    runtime="docker", engine="ready", reason="", since="2026-11-21", image="sha256:1", code="c",
    running=1, starting=0, stopping=0, waiting=0, max_running=8,
)  # fmt: skip


def test_status_is_written_when_it_changes(tmp_path: Path) -> None:
    paths = HostPaths(tmp_path)
    paths.ensure()
    status = StatusFile(paths)

    assert status.write(STATUS)
    assert not status.write(STATUS)
    assert status.write(replace(STATUS, running=2))

    assert json.loads(status.path.read_text())["running"] == 2


def test_status_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    assert StatusFile(HostPaths(tmp_path / "missing")).write(STATUS)

"""The sweep with real containers of the real image."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from helpers.engine import ROOT, SweepProcess, TestSession, containers_of, docker
from helpers.waiting import wait_until

from contract import layout
from contract.clock import utc_now
from nanoclaw.containers.spec import INSTALL_LABEL
from nanoclaw.db import sessions
from nanoclaw.db.container_configs import ContainerConfigChange

IMAGE = "nanoclaw-agent-test"
"""Shared by all tests, so that the image has one name and not one per temporary home."""
SLOW = {"match": "slow", "steps": [{"delay_ms": 2000}, {"say": "done: {text}"}]}
HANG_ONCE = {"match": "hang", "times": 1, "steps": [{"hang": True}]}


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[SweepProcess]:
    with SweepProcess(tmp_path, runtime="docker", image_base=IMAGE) as made:
        yield made


@pytest.fixture
def agent(sweep: SweepProcess) -> TestSession:
    """A session whose container runs and has answered once."""
    session = sweep.new_session()
    sweep.start()
    session.ask("m1", "hello")
    session.wait_for_answer("You said: hello", within=600)  # the first test may build the image
    return session


def inspect(container_id: str) -> dict[str, Any]:
    (facts,) = json.loads(docker("inspect", container_id))
    assert isinstance(facts, dict)
    return facts


def inside(session: TestSession, command: str) -> str:
    """What a shell in the container says; errors included."""
    words = ["docker", "exec", session.row().container_id or "", "bash", "-c", command]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


# --- the wall around an agent ---------------------------------------------------------------------


def test_inspect_shows_the_hardening(agent: TestSession) -> None:
    facts = inspect(agent.wait_until_running())
    host = facts["HostConfig"]

    assert host["NetworkMode"] == "none"
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert host["CapAdd"] is None
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["Privileged"] is False
    assert host["AutoRemove"] is False
    assert host["RestartPolicy"]["Name"] == "no"
    assert host["PidMode"] == ""
    assert host["IpcMode"] == "private"
    assert not host["Devices"]
    assert host["Memory"] == host["MemorySwap"] > 0
    assert host["NanoCpus"] > 0
    assert host["PidsLimit"] > 0
    assert {u["Name"] for u in host["Ulimits"]} == {"fsize", "nofile", "core"}
    assert facts["Config"]["User"] not in ("", "0", "0:0", "root")


def test_inspect_shows_whose_container_it_is(agent: TestSession) -> None:
    facts = inspect(agent.wait_until_running())
    labels = facts["Config"]["Labels"]
    row = agent.row()

    assert facts["Name"] == f"/nanoclaw-{agent.sweep.paths.slug}-{agent.id}"
    assert labels["nanoclaw-install"] == agent.sweep.paths.slug
    assert labels["nanoclaw-session"] == agent.id
    assert labels["nanoclaw-group"] == row.agent_group_id
    assert labels["nanoclaw-runtime"] == row.runtime_version
    assert labels["nanoclaw-lease"] == str(row.lease_token)


def test_only_three_folders_are_mounted_writable(agent: TestSession) -> None:
    mounts = inspect(agent.wait_until_running())["Mounts"]

    writable = {mount["Destination"] for mount in mounts if mount["RW"]}
    read_only = {mount["Destination"] for mount in mounts if not mount["RW"]}
    assert writable == {layout.MOUNT_OUT, layout.MOUNT_WORKSPACE, layout.MOUNT_HOME}
    assert read_only == {layout.MOUNT_IN, layout.MOUNT_APP}


def test_container_has_no_network_but_itself(agent: TestSession) -> None:
    interfaces = inside(agent, "ls /sys/class/net")
    routes = inside(agent, "tail -n +2 /proc/net/route")

    assert interfaces.split() == ["lo"]
    assert routes == ""


def test_container_has_no_rights(agent: TestSession) -> None:
    status = inside(agent, "cat /proc/self/status")

    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert int(fields["CapEff"], 16) == int(fields["CapBnd"], 16) == 0
    assert fields["NoNewPrivs"] == "1"
    assert inside(agent, "id -u").strip() != "0"


@pytest.mark.parametrize(
    "path", ["/x", "/etc/x", "/app/x", "/session/in/x", "/session/x", "/opt/nanoclaw/x"]
)
def test_agent_cannot_write_outside_its_folders(agent: TestSession, path: str) -> None:
    assert "touch: cannot touch" in inside(agent, f"touch {path}")


@pytest.mark.parametrize(
    "path", ["/session/out/x", "/workspace/agent/x", "/home/node/x", "/tmp/x", "/run/x"]
)
def test_agent_can_write_into_its_folders(agent: TestSession, path: str) -> None:
    assert inside(agent, f"touch {path} && echo fine").strip() == "fine"


def test_agent_cannot_replace_what_the_host_writes(agent: TestSession) -> None:
    said = inside(agent, "rm -f /session/in/session.json; mv /session/in /session/other")

    assert said.count("Read-only file system") + said.count("cannot") >= 2
    assert (agent.folder.in_dir / "session.json").exists()


def test_temporary_folder_runs_programs_and_is_bounded(agent: TestSession) -> None:
    run = "cp /bin/true /tmp/t && /tmp/t && echo runs"
    fill = "head -c 300M /dev/zero > /tmp/big"

    assert inside(agent, run).strip() == "runs"
    assert "No space left" in inside(agent, fill)


def test_single_files_are_bounded(tmp_path: Path) -> None:
    with SweepProcess(tmp_path, runtime="docker", image_base=IMAGE) as sweep:
        session = sweep.new_session()
        sweep.start()
        session.ask("m1", "hello")
        session.wait_for_answer("You said: hello", within=600)

        said = inside(session, "truncate -s 2G /session/out/big; echo code $?")

        assert "code 0" not in said


def test_environment_holds_nothing_of_the_host(agent: TestSession) -> None:
    names = {line.partition("=")[0] for line in inside(agent, "env").splitlines()}

    assert not {name for name in names if "KEY" in name or "TOKEN" in name or "SECRET" in name}
    assert inside(agent, "echo $HOME").strip() == "/home/node"


def test_signal_reaches_the_runner_and_it_leaves_in_order(agent: TestSession) -> None:
    container_id = agent.wait_until_running()
    agent.sweep.ask_to_stop(agent.id)

    agent.wait_until_settled()

    wait_until(lambda: container_id not in agent.sweep.containers(), what="it is taken away")
    assert "exit code 0" in agent.sweep.log()


# --- whom the folders belong to -------------------------------------------------------------------


def test_host_that_is_root_hands_the_folders_over(agent: TestSession) -> None:
    if os.getuid() != 0:
        pytest.fail("this test needs root: it is about a host that runs as root")
    group = agent.sweep.paths.groups / "main"

    assert agent.folder.out_dir.stat().st_uid == 1000
    assert (group / "CLAUDE.local.md").stat().st_uid == 1000
    assert agent.folder.in_dir.stat().st_uid == 0
    assert inside(agent, "id -u").strip() == "1000"


def test_user_without_an_entry_in_the_password_file_works(sweep: SweepProcess) -> None:
    """What a host of an ordinary user asks for: its own number, which the image does not know."""
    from nanoclaw.containers.docker_runtime import DockerRuntime
    from nanoclaw.containers.ownership import Owner, hand_over
    from nanoclaw.containers.spec import UserMapping

    session = sweep.new_session()
    sweep.start()
    session.ask("m1", "hello")
    session.wait_for_answer("You said: hello", within=600)
    facts = inspect(session.wait_until_running())
    sweep.stop()
    docker("rm", "-f", facts["Id"])
    for folder in (session.folder.out_dir, sweep.paths.groups / "main",
                   session.folder.root.parent / "home"):  # fmt: skip
        folder.chmod(0o700)
        hand_over(folder, Owner(12345, 12345))

    runtime = DockerRuntime.connect(sweep.config.docker_host, sweep.paths.slug)
    spec = spec_from(facts, sweep, UserMapping(12345, 12345, hand_over=False))
    container_id = runtime.start(spec)
    session.write("m2", "who am I")

    session.wait_for_answer("You said: who am I")
    assert docker("exec", container_id, "id", "-u").strip() == "12345"
    assert docker("exec", container_id, "bash", "-c", "touch ~/x && echo $HOME").strip() == (
        "/home/node"
    )


def spec_from(facts: dict[str, Any], sweep: SweepProcess, user: Any) -> Any:
    """The order behind a container, for another user."""
    from nanoclaw.containers.spec import MIB, ContainerSpec, Limits, Mount, Tmpfs

    mounts = tuple(
        Mount(Path(m["Source"]), m["Destination"], read_only=not m["RW"]) for m in facts["Mounts"]
    )
    environment = [entry.partition("=") for entry in facts["Config"]["Env"]]
    return ContainerSpec(
        name=facts["Name"].removeprefix("/"),
        image=facts["Image"],
        user=user,
        environment=tuple((name, value) for name, _, value in environment),
        mounts=mounts,
        tmpfs=(Tmpfs("/tmp", 64 * MIB, executable=True), Tmpfs("/run", MIB, executable=False)),
        labels=tuple(facts["Config"]["Labels"].items()),
        limits=Limits(512 * MIB, 1.0, 100, 100 * MIB, 100 * MIB),
        log_file=sweep.paths.logs / "x.log",
    )


# --- starting, ending, starting again -------------------------------------------------------------


def test_hundred_wakes_start_one_container(sweep: SweepProcess) -> None:
    session = sweep.new_session()
    sweep.start()
    session.write("m1", "hello")

    sweep.wake(session.id, times=100)
    session.wait_for_answer("You said: hello", within=600)

    assert len(sweep.containers()) == 1
    assert sweep.log().count("agent started") == 1


def test_containers_survive_a_killed_sweep_and_are_adopted(agent: TestSession) -> None:
    sweep, container_id = agent.sweep, agent.wait_until_running()

    sweep.kill()
    sweep.start()
    agent.ask("m2", "still there?")

    agent.wait_for_answer("You said: still there?")
    wait_until(lambda: "agent adopted" in sweep.log(), what="it is adopted")
    assert agent.row().container_id == container_id
    assert sweep.log().count("agent started") == 1


def test_ordered_stop_leaves_containers_to_the_next_sweep(agent: TestSession) -> None:
    container_id = agent.wait_until_running()

    assert agent.sweep.stop() == 0

    assert inspect(container_id)["State"]["Running"]


def test_containers_go_with_the_host_when_that_is_wanted(tmp_path: Path) -> None:
    with SweepProcess(
        tmp_path, runtime="docker", image_base=IMAGE, stop_agents_on_exit="true"
    ) as sweep:
        session = sweep.new_session()
        sweep.start()
        session.ask("m1", "hello")
        session.wait_for_answer("You said: hello", within=600)

        assert sweep.stop() == 0

        assert sweep.containers() == []
        assert not session.row().is_running


def test_turn_of_a_killed_container_is_done_again_once(sweep: SweepProcess) -> None:
    sweep.script(HANG_ONCE)
    session = sweep.new_session()
    sweep.start()
    session.ask("m1", "hang on")
    container_id = session.wait_until_running(within=600)
    wait_until(lambda: claimed(session, "m1"), within=10, what="the turn has begun")

    docker("kill", "-s", "KILL", container_id)

    session.wait_for_answer("You said: hang on", within=25)
    assert session.message("m1").tries == 1
    assert session.texts() == ["You said: hang on"]


def claimed(session: TestSession, message_id: str) -> bool:
    from contract.errors import SnapshotError
    from contract.outbound.snapshot import read_snapshot

    out_fd = session.folder.open_out()
    try:
        with read_snapshot(out_fd) as snapshot:
            return any(ack.message_id == message_id for ack in snapshot.acks())
    except SnapshotError:
        return False
    finally:
        os.close(out_fd)


def test_container_that_died_while_nobody_looked_is_settled(agent: TestSession) -> None:
    sweep, container_id = agent.sweep, agent.wait_until_running()
    sweep.kill()
    docker("kill", "-s", "KILL", container_id)

    sweep.start()
    agent.ask("m2", "anyone?")

    agent.wait_for_answer("You said: anyone?")
    assert container_id not in sweep.containers()


def test_container_that_was_removed_by_hand_is_replaced(agent: TestSession) -> None:
    docker("rm", "-f", agent.wait_until_running())

    agent.wait_until_settled()
    agent.ask("m2", "again")

    agent.wait_for_answer("You said: again")


def test_last_words_of_a_container_are_kept(sweep: SweepProcess) -> None:
    sweep.configure(ContainerConfigChange(provider="nonsense"))
    session = sweep.new_session()
    sweep.start()
    session.ask("m1", "hello")
    wait_until(lambda: session.row().container_error, within=600, what="the failure is recorded")
    session.wait_until_settled()

    log = sweep.paths.session_log(session.id).read_text()

    assert "ended with code 78" in log
    assert "nonsense" in log


def test_strays_of_this_installation_are_removed_and_others_are_not(sweep: SweepProcess) -> None:
    def stray(slug: str, *labels: str) -> str:
        words = ["run", "-d", "--network", "none", "--label", f"{INSTALL_LABEL}={slug}"]
        for label in labels:
            words += ["--label", label]
        return docker(*words, "debian:trixie-slim", "sleep", "600").strip()

    other_home = f"other-{sweep.paths.slug}"
    session = sweep.new_session()
    stale = stray(sweep.paths.slug, f"nanoclaw-session={session.id}", "nanoclaw-lease=99")
    unknown = stray(sweep.paths.slug)
    foreign = stray(other_home)
    try:
        sweep.start()
        session.ask("m1", "hello")
        session.wait_for_answer("You said: hello", within=600)

        wait_until(lambda: not {stale, unknown} & set(sweep.containers()), what="strays are gone")
        assert containers_of(other_home) == [foreign]
    finally:
        docker("rm", "-f", foreign)


def test_container_of_an_older_version_leaves_when_it_is_idle(agent: TestSession) -> None:
    """The label of a running container cannot change, so the host becomes the newer one."""
    sweep, container_id = agent.sweep, agent.wait_until_running()
    older = str(sweep.status()["code"])
    sweep.stop()
    newer = sweep.copy_of_the_source()
    (newer / "runner" / "__init__.py").write_text('"""A newer version of the runner."""\n')

    sweep.start(source=newer)
    wait_until(lambda: "older version" in sweep.log(), what="it is adopted as outdated")
    assert (sweep.paths.runtime / older).exists(), "its code stays while it runs"
    agent.wait_until_settled()
    agent.ask("m2", "newer?")

    agent.wait_for_answer("You said: newer?")
    assert container_id not in sweep.containers()
    assert agent.row().runtime_version != older


# --- the engine comes and goes --------------------------------------------------------------------


class Forwarder:
    """A socket that leads to the real engine, for as long as it is open."""

    def __init__(self, path: Path, target: str = "/var/run/docker.sock") -> None:
        self.path = path
        self._target = target
        self._server: socket.socket | None = None
        self._open: list[socket.socket] = []

    def open(self) -> None:
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(self.path))
        self._server.listen(32)
        threading.Thread(target=self._serve, args=(self._server,), daemon=True).start()

    def close(self) -> None:
        """As if the engine had been stopped: nothing answers, everything open breaks."""
        self.path.unlink(missing_ok=True)
        for connection in [self._server, *self._open]:
            if connection is not None:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                connection.close()
        self._server, self._open = None, []

    def _serve(self, server: socket.socket) -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            engine = socket.socket(socket.AF_UNIX)
            engine.connect(self._target)
            self._open += [client, engine]
            for source, target in ((client, engine), (engine, client)):
                threading.Thread(target=_pump, args=(source, target), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Forwarder]:
    path = Path("/tmp") / f"nc-{os.getpid()}-{tmp_path.name[-12:]}.sock"
    forwarder = Forwarder(path)
    yield forwarder
    forwarder.close()


@pytest.fixture
def behind(tmp_path: Path, door: Forwarder) -> Iterator[SweepProcess]:
    """A sweep whose engine is behind the forwarder."""
    with SweepProcess(
        tmp_path, runtime="docker", image_base=IMAGE, docker_host=f"unix://{door.path}"
    ) as made:
        yield made


def state_is(sweep: SweepProcess, state: str) -> Callable[[], bool]:
    return lambda: sweep.status().get("engine") == state


def test_host_without_an_engine_runs_and_recovers_when_it_comes(
    behind: SweepProcess, door: Forwarder
) -> None:
    session = behind.new_session()
    behind.start()
    session.ask("m1", "hello")
    wait_until(state_is(behind, "unreachable"), what="the status says so")
    assert str(door.path) in str(behind.status()["reason"])

    door.open()

    session.wait_for_answer("You said: hello", within=600)
    assert behind.status()["engine"] == "ready"


def test_engine_that_goes_and_comes_back_finds_its_agents_adopted(
    behind: SweepProcess, door: Forwarder
) -> None:
    door.open()
    session = behind.new_session()
    behind.start()
    session.ask("m1", "hello")
    session.wait_for_answer("You said: hello", within=600)
    container_id = session.wait_until_running()

    door.close()
    wait_until(state_is(behind, "unreachable"), what="the loss is noticed")
    door.open()
    wait_until(state_is(behind, "ready"), within=10, what="it is back")
    session.ask("m2", "still you?")

    session.wait_for_answer("You said: still you?")
    assert session.row().container_id == container_id
    assert behind.log().count("agent started") == 1


def test_agent_that_died_while_the_engine_was_away_is_settled(
    behind: SweepProcess, door: Forwarder
) -> None:
    door.open()
    session = behind.new_session()
    behind.start()
    session.ask("m1", "hello")
    session.wait_for_answer("You said: hello", within=600)
    container_id = session.wait_until_running()

    door.close()
    wait_until(state_is(behind, "unreachable"), what="the loss is noticed")
    docker("kill", "-s", "KILL", container_id)
    door.open()
    session.ask("m2", "anyone?")

    session.wait_for_answer("You said: anyone?", within=20)
    assert session.row().container_id != container_id


def test_image_of_the_recipe_carries_the_installations_name(agent: TestSession) -> None:
    used = agent.sweep.status()["image"]

    assert used in docker("images", "-q", "--no-trunc", IMAGE).splitlines()
    assert inspect(agent.wait_until_running())["Image"] == used


def test_host_without_an_image_says_why_and_goes_on(tmp_path: Path) -> None:
    """No registry has such a base image, so the build fails; the rest of the host is well."""
    settings = {"image_base": "nanoclaw-agent-nowhere", "base_image": "localhost:1/nothing:0"}
    with SweepProcess(tmp_path, runtime="docker", **settings) as sweep:
        session = sweep.new_session()
        sweep.start()
        session.ask("m1", "hello")

        wait_until(lambda: sweep.status().get("build_failures"), within=60, what="the build fails")

        assert sweep.status()["engine"] == "no image"
        assert "localhost:1/nothing:0" in str(sweep.status()["build_error"])
        assert sweep.status()["build_next_attempt"]
        assert session.row().container_failures == 0
        assert "build failed" in (sweep.paths.logs / "build.log").read_text()
        assert sweep.stop() == 0


def test_image_command_shows_its_progress_and_finds_what_is_there(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "nanoclaw", "image", "build", "--home", str(tmp_path / "h")]
    environment = {**os.environ, "CONTAINER_IMAGE_BASE": IMAGE}

    done = subprocess.run(
        words, capture_output=True, text=True, cwd=ROOT, env=environment, check=False
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith((IMAGE, "Step 1/"))
    assert " MB" in done.stdout


def test_code_is_compiled_for_the_python_of_the_image(agent: TestSession) -> None:
    app = agent.sweep.paths.runtime / str(agent.sweep.status()["code"])

    def compiled() -> list[Path]:
        return list((app / "runner" / "__pycache__").glob("loop.cpython-*.pyc"))

    wait_until(compiled, within=60, what="the builder has compiled the runner")
    assert [path.read_bytes()[4:8] for path in compiled()] == [b"\x01\0\0\0"]


def test_quarantined_sessions_container_is_not_adopted(agent: TestSession) -> None:
    sweep = agent.sweep
    sweep.kill()
    with sweep.database() as conn:
        sessions.quarantine(conn, agent.id, "a test says so", utc_now())

    sweep.start()

    agent.wait_until_stopped()
    wait_until(lambda: sweep.containers() == [], what="its container is gone")

"""Turns a ContainerSpec into the JSON that the Docker API wants, and its answers into values.

Pure; used by ``docker_runtime`` only. Written by hand instead of through the SDK's helpers, so that
every hardening setting stands in one place, can be tested without an engine, and costs nothing on
the way to a first answer.
"""

from collections.abc import Mapping

from nanoclaw.containers.runtime import Found, RunState
from nanoclaw.containers.spec import (
    LEASE_LABEL,
    RUNTIME_LABEL,
    SESSION_LABEL,
    ContainerSpec,
    Limits,
    Mount,
    Tmpfs,
)

Body = dict[str, object]
"""A JSON object of the Docker API."""

RUNNER_PYTHON = "/opt/nanoclaw/bin/python"
LOG_BYTES = 1024 * 1024
LOG_FILES = 2
CPU_SHARES = 512
"""Half of what everybody else has: when the machine is busy, the host goes first."""
OOM_SCORE_ADJ = 500
"""When the whole machine is out of memory, an agent goes before the host."""
COMPILE_MEMORY_BYTES = 512 * 1024 * 1024
LEAST_FILE_BYTES = 4096


def container_body(spec: ContainerSpec, engine_cpus: int) -> Body:
    """Body of "create a container" for an agent, on an engine with so many processors."""
    return {
        "Image": spec.image,
        "User": f"{spec.user.uid}:{spec.user.gid}",
        "Env": [f"{name}={value}" for name, value in spec.environment],
        "Labels": dict(spec.labels),
        "StopSignal": "SIGTERM",
        "StopTimeout": spec.stop_seconds,
        "AttachStdin": False,
        "AttachStdout": False,
        "AttachStderr": False,
        "OpenStdin": False,
        "Tty": False,
        "HostConfig": {
            **hardening(),
            **_limits(spec.limits, engine_cpus),
            "OomScoreAdj": OOM_SCORE_ADJ,
            "Mounts": [mount_body(mount) for mount in (*spec.mounts, *spec.extra_mounts)],
            "Tmpfs": {tmpfs.target: _tmpfs(tmpfs) for tmpfs in spec.tmpfs},
            "LogConfig": {
                "Type": "json-file",
                "Config": {"max-size": str(LOG_BYTES), "max-file": str(LOG_FILES)},
            },
        },
    }


def compile_body(image: str, source: Mount, user: str, label: tuple[str, str]) -> Body:
    """Body of the short-lived container that compiles our own code with the image's Python.

    Runs before any agent exists and sees nothing but that code. Checked hashes would need the
    source to be read at each import, so the compiled files are simply believed: they lie in a
    folder that agents can only read.
    """
    return {
        "Image": image,
        "User": user,
        "Entrypoint": [RUNNER_PYTHON, "-I", "-m", "compileall"],
        "Cmd": ["-q", "--invalidation-mode", "unchecked-hash", source.target],
        "Labels": dict([label]),
        "HostConfig": {
            **hardening(),
            "Memory": COMPILE_MEMORY_BYTES,
            "MemorySwap": COMPILE_MEMORY_BYTES,
            "PidsLimit": 64,
            "Mounts": [mount_body(source)],
        },
    }


def hardening() -> Body:
    """What every container of ours has in common. Seccomp stays at the engine's default."""
    return {
        "NetworkMode": "none",
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true"],
        "Privileged": False,
        "IpcMode": "private",
        "AutoRemove": False,
        "RestartPolicy": {"Name": "no"},
        "Init": False,
    }


def _limits(limits: Limits, engine_cpus: int) -> Body:
    # An engine refuses a limit above what it has; there it would limit nothing.
    cpus = min(limits.cpus, engine_cpus)
    return {
        "Memory": limits.memory_bytes,
        "MemorySwap": limits.memory_bytes,  # the same number: no swap on top
        "NanoCpus": round(cpus * 1_000_000_000),
        "CpuShares": CPU_SHARES,
        "PidsLimit": limits.pids,
        "Ulimits": [
            {"Name": "fsize", "Soft": limits.file_bytes, "Hard": limits.file_bytes},
            {"Name": "nofile", "Soft": limits.open_files, "Hard": limits.open_files},
            {"Name": "core", "Soft": 0, "Hard": 0},
        ],
    }


def mount_body(mount: Mount) -> Body:
    """A bind that fails when its source is missing, instead of making an empty folder there."""
    return {
        "Type": "bind",
        "Source": str(mount.source),
        "Target": mount.target,
        "ReadOnly": mount.read_only,
        "BindOptions": {"Propagation": "rprivate"},
    }


def _tmpfs(tmpfs: Tmpfs) -> str:
    run = "exec" if tmpfs.executable else "noexec"
    files = tmpfs.size_bytes // LEAST_FILE_BYTES  # empty ones take memory too, which no size counts
    return f"rw,{run},nosuid,nodev,size={tmpfs.size_bytes},nr_inodes={files},mode=1777"


def found_in(entry: Mapping[str, object]) -> Found:
    """One entry of "list containers"."""
    given = entry.get("Labels")
    labels: Mapping[str, object] = given if isinstance(given, dict) else {}
    names = entry.get("Names")
    first = names[0] if isinstance(names, list) and names else ""
    return Found(
        container_id=str(entry.get("Id", "")),
        name=str(first).removeprefix("/"),
        state=run_state(entry.get("State")),
        session_id=_text(labels.get(SESSION_LABEL)),
        runtime_version=_text(labels.get(RUNTIME_LABEL)),
        lease=_number(labels.get(LEASE_LABEL)),
    )


def run_state(word: object) -> RunState:
    """Docker knows seven words; a paused container is still there and counts as alive."""
    if word == "created":
        return RunState.CREATED
    if word in ("running", "paused", "restarting"):
        return RunState.RUNNING
    return RunState.EXITED


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: object) -> int | None:
    return int(value) if isinstance(value, str) and value.isdecimal() else None

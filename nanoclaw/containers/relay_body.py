"""The JSON for what stands between an agent and a vault that it cannot reach by a socket.

Pure; used by ``relays``. Per session one volume in memory, which the agent sees read-only at the
place of its door, and one relay container, which alone writes there. The agent still has no
network. The relay has one, and nothing else: our code, its door's file, no capability, few limits.
"""

from pathlib import Path

from contract import layout
from nanoclaw.containers.docker_body import RUNNER_PYTHON, Body, hardening, mount_body
from nanoclaw.containers.spec import INSTALL_LABEL, ContainerSpec, Mount

RELAY_LABEL = "nanoclaw-relay"
"""Its value is the name of the agent's container."""
PROBE_LABEL = "nanoclaw-probe"
RELAY_USER = 65532
"""Nobody's on the host and in the image."""
RELAY_MEMORY_BYTES = 96 * 1024 * 1024
RELAY_PIDS = 16
RELAY_OPEN_FILES = 512
VOLUME_BYTES = 64 * 1024
RELAY_NETWORK = "bridge"
LOG_BYTES = 256 * 1024
_PLACES = (layout.MOUNT_DOOR, layout.MOUNT_RELAY, layout.RELAY_HOST)


def relay_name(agent: str) -> str:
    return f"{agent}-relay"


def volume_name(agent: str) -> str:
    return f"{agent}-door"


def through_volume(body: Body, spec: ContainerSpec, slug: str) -> Body:
    """The agent's body with the volume at the place of the mounted folder."""
    mounts = (mount for mount in spec.mounts if mount.target != layout.MOUNT_DOOR)
    rest = [mount_body(mount) for mount in (*mounts, *spec.extra_mounts)]
    host = body["HostConfig"]
    assert isinstance(host, dict)
    volume = _volume(spec.name, slug, read_only=True)
    return {**body, "HostConfig": {**host, "Mounts": [*rest, volume]}}


def relay_body(spec: ContainerSpec, slug: str) -> Body:
    """The relay of one agent."""
    app, door = spec.source_of(layout.MOUNT_APP), spec.source_of(layout.MOUNT_DOOR)
    assert app is not None
    assert door is not None
    body = _program(spec.image, "serve", *_PLACES)
    host = body["HostConfig"]
    assert isinstance(host, dict)
    mounts = [
        mount_body(Mount(app, layout.MOUNT_APP, read_only=True)),
        mount_body(Mount(door, layout.MOUNT_RELAY, read_only=True)),
        _volume(spec.name, slug, read_only=False),
    ]
    labels = {INSTALL_LABEL: slug, RELAY_LABEL: spec.name}
    return {**body, "Labels": labels, "HostConfig": {**host, **_outward(), "Mounts": mounts}}


def probe_body(image: str, app: Path, folder: Path, slug: str) -> Body:
    """A short-lived container that tries a socket in a mounted folder, as an agent would."""
    body = _program(image, "probe", layout.MOUNT_RELAY)
    host = body["HostConfig"]
    assert isinstance(host, dict)
    mounts = [
        mount_body(Mount(app, layout.MOUNT_APP, read_only=True)),
        mount_body(Mount(folder, layout.MOUNT_RELAY, read_only=True)),
    ]
    return {**body, "Labels": {PROBE_LABEL: slug}, "HostConfig": {**host, "Mounts": mounts}}


def lookup_body(image: str, app: Path, slug: str) -> Body:
    """A short-lived container that says where a relay would find the host."""
    body = _program(image, "lookup", layout.RELAY_HOST)
    host = body["HostConfig"]
    assert isinstance(host, dict)
    mounts = [mount_body(Mount(app, layout.MOUNT_APP, read_only=True))]
    host = {**host, **_outward(), "Mounts": mounts}
    return {**body, "Labels": {PROBE_LABEL: slug}, "HostConfig": host}


def _outward() -> Body:
    return {
        "NetworkMode": RELAY_NETWORK,
        "ExtraHosts": [f"{layout.RELAY_HOST}:host-gateway"],
    }


def _program(image: str, *words: str) -> Body:
    return {
        "Image": image,
        "User": f"{RELAY_USER}:{RELAY_USER}",
        "Entrypoint": [RUNNER_PYTHON, "-P", "-m", "runner.relay"],
        "Cmd": list(words),
        "Env": [f"PYTHONPATH={layout.MOUNT_APP}", "HOME=/"],
        "WorkingDir": "/",
        "StopSignal": "SIGKILL",
        "HostConfig": {
            **hardening(),
            "Memory": RELAY_MEMORY_BYTES,
            "MemorySwap": RELAY_MEMORY_BYTES,
            "PidsLimit": RELAY_PIDS,
            "Ulimits": [
                {"Name": "nofile", "Soft": RELAY_OPEN_FILES, "Hard": RELAY_OPEN_FILES},
                {"Name": "fsize", "Soft": 0, "Hard": 0},
                {"Name": "core", "Soft": 0, "Hard": 0},
            ],
            "LogConfig": {
                "Type": "json-file",
                "Config": {"max-size": str(LOG_BYTES), "max-file": "1"},
            },
        },
    }


def _volume(agent: str, slug: str, *, read_only: bool) -> Body:
    options = f"size={VOLUME_BYTES},nr_inodes=16,uid={RELAY_USER},mode=0711"
    return {
        "Type": "volume",
        "Source": volume_name(agent),
        "Target": layout.MOUNT_DOOR,
        "ReadOnly": read_only,
        "VolumeOptions": {
            "NoCopy": True,
            "Labels": {INSTALL_LABEL: slug, RELAY_LABEL: agent},
            "DriverConfig": {
                "Name": "local",
                "Options": {"type": "tmpfs", "device": "tmpfs", "o": options},
            },
        },
    }

"""Names inside a session folder and mount points inside the container.

The host writes ``in/`` (mounted read-only) and treats ``out/`` (mounted read-write) as hostile.
The runner learns its folders from the environment once, at start, so that the same code runs in
a container and as a child process.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

IN_DIR = "in"
OUT_DIR = "out"
INBOUND_DB = "inbound.db"
OUTBOUND_DB = "outbound.db"
FILES_DIR = "files"
SESSION_JSON = "session.json"
CONTAINER_JSON = "container.json"
CLAUDE_MD = "CLAUDE.md"
HEARTBEAT = "heartbeat"
CONVERSATION_DIR = "conversation"
RUNNER_DIR = "runner"
RUNNER_LOG = "runner.log"
DOOR_SOCKET = "vault.sock"
DOOR_FILE = "door.json"
"""Beside the socket, for a relay only: how to reach the vault without it."""
CA_FILE = "ca.pem"
"""In ``in/``: whose certificates the vault shows where it looks into TLS."""
GATEWAY_CA_FILE = "gateway-ca.pem"
"""In ``in/``: the same of an external gateway behind the vault."""

MOUNT_IN = "/session/in"
MOUNT_OUT = "/session/out"
MOUNT_DOOR = "/session/door"
MOUNT_RELAY = "/session/relay"
"""In a relay's container: the host's folder of the door."""
MOUNT_WORKSPACE = "/workspace/agent"
MOUNT_GLOBAL = "/workspace/global"
MOUNT_EXTRA = "/workspace/extra"
MOUNT_APP = "/app"
MOUNT_HOME = "/home/node"

RELAY_HOST = "nanoclaw-host"
"""Under this name a relay finds the host."""

ENV_IN = "NANOCLAW_SESSION_IN"
ENV_OUT = "NANOCLAW_SESSION_OUT"
ENV_WORKSPACE = "NANOCLAW_WORKSPACE"
ENV_GLOBAL = "NANOCLAW_GLOBAL"
ENV_APP = "NANOCLAW_APP"


@dataclass(frozen=True, slots=True)
class RunnerPaths:
    """Where the runner finds its side of the session."""

    in_dir: Path
    out_dir: Path
    workspace: Path
    app: Path
    global_dir: Path = Path(MOUNT_GLOBAL)

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> "RunnerPaths":
        """The mount points, unless the environment names other folders."""
        return cls(
            in_dir=Path(env.get(ENV_IN) or MOUNT_IN),
            out_dir=Path(env.get(ENV_OUT) or MOUNT_OUT),
            workspace=Path(env.get(ENV_WORKSPACE) or MOUNT_WORKSPACE),
            app=Path(env.get(ENV_APP) or MOUNT_APP),
            global_dir=Path(env.get(ENV_GLOBAL) or MOUNT_GLOBAL),
        )

    def to_environment(self) -> dict[str, str]:
        """The variables that make ``from_environment`` give these paths."""
        return {
            ENV_IN: str(self.in_dir),
            ENV_OUT: str(self.out_dir),
            ENV_WORKSPACE: str(self.workspace),
            ENV_APP: str(self.app),
            ENV_GLOBAL: str(self.global_dir),
        }

    @property
    def inbound_db(self) -> Path:
        return self.in_dir / INBOUND_DB

    @property
    def session_json(self) -> Path:
        return self.in_dir / SESSION_JSON

    @property
    def container_json(self) -> Path:
        return self.in_dir / CONTAINER_JSON

    @property
    def in_files(self) -> Path:
        return self.in_dir / FILES_DIR

    @property
    def outbound_db(self) -> Path:
        return self.out_dir / OUTBOUND_DB

    @property
    def out_files(self) -> Path:
        return self.out_dir / FILES_DIR

    @property
    def heartbeat(self) -> Path:
        return self.out_dir / HEARTBEAT

    @property
    def conversation(self) -> Path:
        return self.out_dir / CONVERSATION_DIR

    @property
    def runner_dir(self) -> Path:
        return self.out_dir / RUNNER_DIR

    @property
    def runner_log(self) -> Path:
        return self.runner_dir / RUNNER_LOG

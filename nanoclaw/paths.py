"""Where everything of one installation lies on disk.

Built once at start from the home folder and handed to every process; nothing else joins path
names below the home. Creates folders only in ``ensure``. Socket paths that would not fit into a
``sockaddr_un`` move to the user's runtime folder, for servers and clients alike.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from nanoclaw.errors import ConfigError

MAX_SOCKET_PATH_BYTES = 100
"""sockaddr_un holds 108 bytes on Linux and 104 on macOS; the rest is room for a suffix."""

DOOR_NAME_BYTES = len("/0a1b2c3d/vault.sock")

PRIVATE_MODE = 0o700


@dataclass(frozen=True, slots=True)
class HostPaths:
    """All paths of one home folder."""

    home: Path

    @property
    def slug(self) -> str:
        """Eight hex digits that tell two installations on one machine apart (H-155)."""
        import hashlib  # brings OpenSSL into the process; few ask for this

        return hashlib.sha1(str(self.home).encode(), usedforsecurity=False).hexdigest()[:8]

    @property
    def config_file(self) -> Path:
        return self.home / "config.toml"

    @property
    def env_file(self) -> Path:
        return self.home / ".env"

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def central_db(self) -> Path:
        return self.data / "v2.db"

    @property
    def sessions(self) -> Path:
        return self.data / "v2-sessions"

    @property
    def audit(self) -> Path:
        """Files that old rows of the audit trail were moved to."""
        return self.data / "audit"

    @property
    def groups(self) -> Path:
        return self.home / "groups"

    @property
    def secrets(self) -> Path:
        return self.home / "secrets"

    @property
    def authority(self) -> Path:
        """Keys and certificates with which the vault looks into TLS connections."""
        return self.secrets / "ca"

    def extras(self, name: str) -> Path:
        """Libraries that ``nanoclaw extras add`` has put there."""
        return self.home / "extras" / name

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def run(self) -> Path:
        return self.home / "run"

    @property
    def bells(self) -> Path:
        return self.run / "bell"

    @property
    def doors(self) -> Path:
        """One folder per open door, mounted into its container; its socket's path must be short."""
        folder = self.run / "d"
        if len(os.fsencode(folder)) + DOOR_NAME_BYTES <= MAX_SOCKET_PATH_BYTES:
            return folder
        return self._stand_in("d")

    @property
    def status_file(self) -> Path:
        return self.run / "status.json"

    @property
    def runtime(self) -> Path:
        return self.home / "runtime"

    @property
    def backups(self) -> Path:
        return self.home / "backups"

    @property
    def reserve_file(self) -> Path:
        """Space given back when the disk is full, so that the host's own commits go on."""
        return self.data / "reserve"

    def session(self, agent_group_id: str, session_id: str) -> Path:
        return self.sessions / agent_group_id / session_id

    def channel(self, instance: str) -> Path:
        return self.data / "channels" / instance

    def channel_state_file(self, instance: str) -> Path:
        return self.run / f"channel-{instance}.json"

    def lock_file(self, child: str) -> Path:
        return self.run / f"{child.replace(':', '-')}.lock"

    def session_log(self, session_id: str) -> Path:
        return self.logs / "sessions" / f"{session_id}.log"

    def socket(self, name: str) -> Path:
        """Path of ``run/<name>.sock``, or its stand-in where that path is too long (N-4)."""
        path = self.run / f"{name}.sock"
        if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
            return path
        return self._stand_in(f"{name}.sock")

    def _stand_in(self, name: str) -> Path:
        runtime_dir = os.environ.get("XDG_RUNTIME_DIR")
        if runtime_dir and len(os.fsencode(runtime_dir)) < MAX_SOCKET_PATH_BYTES - 40:
            return Path(runtime_dir) / f"nanoclaw-{self.slug}-{name}"
        return Path(f"/tmp/nanoclaw-{os.getuid()}") / f"{self.slug}-{name}"

    def ensure(self) -> None:
        """Creates the folders that every process counts on; raises ConfigError with the reason."""
        folders = (
            self.home, self.data, self.sessions, self.groups, self.secrets, self.logs,
            self.logs / "sessions", self.run, self.bells, self.runtime, self.backups,
            self.data / "channels",
        )  # fmt: skip
        for folder in folders:
            make_private_folder(folder)
        fallback = self.socket("router").parent
        if fallback != self.run:
            make_private_folder(fallback)


def make_private_folder(folder: Path) -> None:
    """Creates ``folder`` with mode 0700; refuses one that belongs to somebody else."""
    try:
        folder.mkdir(mode=PRIVATE_MODE, parents=True, exist_ok=True)
        owner = folder.stat().st_uid
    except OSError as error:
        raise ConfigError(
            f"cannot create {folder}: {error.strerror or error}; "
            "choose a writable folder with --home or NANOCLAW_HOME"
        ) from error
    if owner != os.getuid():
        raise ConfigError(
            f"{folder} belongs to user id {owner}, not to {os.getuid()}; "
            "run as its owner or choose another folder with --home"
        )

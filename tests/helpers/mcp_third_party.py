"""Real MCP servers from PyPI and npm: pinned, installed once into a cache, never into the tree.

The pins are in tests/server/mcp/pins, exact and with hashes. A folder of the cache is named after
the pins it was installed from. Whoever asks for these tests gets them: what cannot be installed
is a failure with a reason.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from contract.config import McpServer

PINS = Path(__file__).parents[1] / "server" / "mcp" / "pins"
INSTALL_SECONDS = 300


class NotInstalledError(AssertionError):
    """A third-party server is asked for and cannot be had."""


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "nanoclaw-tests" / "mcp"


def find_npm() -> str:
    """The path of npm; without it, what to install."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise NotInstalledError("node and npm are missing; try: apt-get install nodejs npm")
    return npm


def node_server(name: str, *args: str) -> McpServer:
    """A server of the Node packages by the name of its program."""
    pins = [PINS / "node" / "package.json", PINS / "node" / "package-lock.json"]
    folder = installed("node", pins, _install_node)
    return McpServer(command=str(folder / "node_modules" / ".bin" / name), args=args)


def time_server() -> McpServer:
    """Written on the mcp package 1.x, which it brings along: nothing of ours is on its path."""
    folder = installed("time", [PINS / "python" / "time.txt"], _install_python)
    return McpServer(
        command=sys.executable, args=("-S", "-m", "mcp_server_time"), env=_path(folder)
    )


def git_server() -> McpServer:
    """Written on the mcp package 2.x, the one in lock/dev.txt."""
    folder = installed("git", [PINS / "python" / "git.txt"], _install_python)
    return McpServer(command=sys.executable, args=("-m", "mcp_server_git"), env=_path(folder))


def _path(folder: Path) -> dict[str, str]:
    return {"PYTHONPATH": str(folder), "PYTHONWARNINGS": "ignore"}


def installed(name: str, pins: list[Path], install: Callable[[Path, list[Path]], None]) -> Path:
    """The folder for these pins; filled elsewhere first, so that half of it never counts."""
    digest = hashlib.sha256(b"".join(pin.read_bytes() for pin in pins))
    digest.update(sys.version.encode())
    folder = cache_folder() / f"{name}-{digest.hexdigest()[:16]}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{name}-new-") as new:
        filled = Path(new) / "filled"
        filled.mkdir()
        install(filled, pins)
        try:
            filled.rename(folder)
        except OSError:
            # Another run was faster; its folder holds the same.
            if not folder.is_dir():
                raise
    return folder


def _install_node(folder: Path, pins: list[Path]) -> None:
    for pin in pins:
        shutil.copy(pin, folder)
    command = [find_npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=dev"]
    _run(command, folder)


def _install_python(folder: Path, pins: list[Path]) -> None:
    command = [
        sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
        "--require-hashes", "--no-deps", "--only-binary", ":all:", "--target", str(folder),
        "-r", str(pins[0]),
    ]  # fmt: skip
    _run(command, folder)


def _run(command: list[str], folder: Path) -> None:
    try:
        subprocess.run(
            command, cwd=folder, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS
        )
    except subprocess.CalledProcessError as error:
        raise NotInstalledError(f"{command[:4]} failed: {error.stderr[-2000:]}") from error
    except subprocess.TimeoutExpired as error:
        raise NotInstalledError(f"{command[:4]} took longer than {INSTALL_SECONDS} s") from error

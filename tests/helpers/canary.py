"""Sets a marker key by command, lets an agent use it, and looks for it everywhere."""

import os
import subprocess
import sys
from pathlib import Path

from helpers.agent import AgentHome
from helpers.host import ROOT
from helpers.messages_api.server import KEY


def set_marker(home: AgentHome) -> None:
    words = [sys.executable, "-m", "nanoclaw", "secrets", "set", "anthropic-api-key"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [*words, "--home", str(home.paths.home)], input=KEY, text=True, check=True,
        capture_output=True, env=environment, cwd=ROOT,
    )  # fmt: skip


def files_with_the_marker(home: Path) -> list[Path]:
    """Databases, logs, sessions, groups, status, backups: every file of the home."""
    files = (Path(folder) / name for folder, _, names in os.walk(home) for name in names)
    return [path for path in files if path.is_file() and KEY.encode() in path.read_bytes()]


def processes_with_the_marker() -> list[str]:
    """Environment and words of every process that can be read."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        for name in ("environ", "cmdline"):
            try:
                content = (entry / name).read_bytes()
            except OSError:
                continue
            if KEY.encode() in content:
                found.append(f"{entry.name}/{name}: {content[:200]!r}")
    return found

"""``ncl`` as a real process, with nothing of the developer's own settings."""

import os
import subprocess
import sys
from pathlib import Path

from helpers.host import ROOT

COMMAND = (sys.executable, "-m", "nanoclaw", "ncl")


def environment(**more: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",
        **more,
    }


def run_ncl(
    *words: str, home: Path | None = None, stdin: str | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    given = {} if home is None else {"NANOCLAW_HOME": str(home)}
    return subprocess.run(
        [*COMMAND, *words],
        cwd="/",
        env=environment(**given, **more),
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )

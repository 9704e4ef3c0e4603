"""Carries one effect out in a process of its own, so that a test can kill it on the way.

``python -m helpers.agents_child FOLDER EFFECT``; the folder is that of an ``agents_scene.Scene``.
Says ``done`` when the effect has ended well.
"""

import subprocess
import sys
from pathlib import Path

from helpers.agents_scene import Scene

from nanoclaw.effects.base import Done

ROOT = Path(__file__).resolve().parents[2]


def carry_out(folder: Path, effect_id: str, kill_folder: Path | None = None) -> int:
    """The exit code of a child that tries: 0, or minus the signal that ended it."""
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PATH": "/usr/bin:/bin"}
    if kill_folder is not None:
        environment["NANOCLAW_KILL_DIR"] = str(kill_folder)
    words = [sys.executable, "-m", "helpers.agents_child", str(folder), effect_id]
    return subprocess.run(words, cwd=ROOT, env=environment, check=False).returncode


def main() -> int:
    scene = Scene(Path(sys.argv[1]), new=False)
    outcome = scene.carry_out(scene.effect(sys.argv[2]))
    scene.close()
    if isinstance(outcome, Done):
        return 0
    sys.stderr.write(f"{outcome}\n")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())

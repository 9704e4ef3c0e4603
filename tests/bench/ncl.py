"""How long ``ncl groups list`` takes, from the start of its process to its end.

From the single file if it was built, as people have it; else from the checkout. The environment
names no home in one of the figures, because then the user's data folder has to be found.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from bench.figures import Figure, spread
from bench.turns import running_host

ROOT = Path(__file__).parent.parent.parent


def measure_ncl_starts(folder: Path, count: int) -> list[Figure]:
    file = ROOT / "nanoclaw.pyz"
    program = [sys.executable, str(file) if file.exists() else "-mnanoclaw", "ncl"]
    how = "single file" if file.exists() else "checkout"
    data = folder / "data"
    data.mkdir(parents=True)
    with running_host(data / "nanoclaw") as host:
        named = {**os.environ, "NANOCLAW_HOME": str(host.paths.home)}
        found = {**os.environ, "XDG_DATA_HOME": str(data)}
        found.pop("NANOCLAW_HOME", None)
        bare = [_milliseconds([sys.executable, "-c", "pass"], named) for _ in range(count)]
        samples = {
            "`ncl groups list`, process start to exit": _calls(program, named, count),
            "the same with the home found, not named": _calls(program, found, count),
        }
    floor = f"{how}; bare Python takes {sorted(bare)[len(bare) // 2]:.0f} ms"
    return [
        spread(name, "ms", values, reference="754 ms (compiled 92 ms)", bar="≤ 90 ms", note=floor)
        for name, values in samples.items()
    ]


def _calls(program: list[str], environment: dict[str, str], count: int) -> list[float]:
    command = [*program, "groups", "list"]
    _milliseconds(command, environment)  # the host loads its commands with the first question
    return [_milliseconds(command, environment) for _ in range(count)]


def _milliseconds(command: list[str], environment: dict[str, str]) -> float:
    started = time.monotonic()
    subprocess.run(command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    return (time.monotonic() - started) * 1000

"""Latency of whole chat turns over the terminal channel, with the scripted model.

The scripted model thinks for no time, so what is measured is all ours: client, channel, router,
session file, runner, delivery and back. Think time between turns varies, or the loops' phases
would lock to the client's (design section 8).
"""

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from helpers.terminal import Terminal

from nanoclaw.paths import HostPaths
from nanoclaw.supervise.status import read_status

ROOT = Path(__file__).parent.parent.parent
START_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class RunningHost:
    """A host of its own home; ``start_seconds``: exec until the terminal channel accepted."""

    paths: HostPaths
    pid: int
    start_seconds: float


@contextmanager
def running_host(home: Path, *flags: str) -> Iterator[RunningHost]:
    """Starts ``nanoclaw run``, stops it in order at the end, agents included."""
    paths = HostPaths(home)
    command = [sys.executable, "-m", "nanoclaw", "run", "--home", str(home), *flags]
    command += ["--stop-agents-on-exit", "true"]
    log = (home.parent / f"{home.name}.log").open("wb")
    started = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        terminal = Terminal(paths.socket("cli"))
        deadline = started + START_SECONDS
        while not terminal.connect():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the host did not start, see {log.name}")
            time.sleep(0.001)
        accepted = time.monotonic() - started
        terminal.close()
        while not _is_up(paths):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the host did not come up, see {log.name}")
            time.sleep(0.02)
        yield RunningHost(paths, process.pid, accepted)
    finally:
        process.terminate()
        process.wait(60)
        log.close()


def _is_up(paths: HostPaths) -> bool:
    status = read_status(paths.status_file)
    return status is not None and status.state == "running"


def warm_turns(host: RunningHost, count: int, seed: int) -> list[float]:
    """Milliseconds from sending to the answer, the agent already running."""
    think = random.Random(seed)
    terminal = Terminal(host.paths.socket("cli"))
    terminal.wait_for_answer(terminal.send("warm up"), within=120)
    samples: list[float] = []
    for number in range(count):
        time.sleep(think.uniform(0.05, 0.4))
        started = time.monotonic()
        terminal.wait_for_answer(terminal.send(f"turn {number}"), within=60)
        samples.append((time.monotonic() - started) * 1000)
    terminal.close()
    return samples


def one_turn(host: RunningHost, text: str) -> float:
    """Milliseconds of a single turn, whatever state the agent is in."""
    terminal = Terminal(host.paths.socket("cli"))
    terminal.connect()
    started = time.monotonic()
    terminal.wait_for_answer(terminal.send(text), within=120)
    elapsed = (time.monotonic() - started) * 1000
    terminal.close()
    return elapsed

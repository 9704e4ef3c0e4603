"""Measures the table of design section 8 and writes docs/performance.md and build/bench.json.

Usage: ``make bench`` (about five minutes), or with ``ARGS="--quick"`` for a trial. Real Docker
where a line says so; nothing here is a test, and no time is ever asserted.
"""

import argparse
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.agent import measure_agent
from bench.figures import Figure, render_table, single, spread, write_json
from bench.fill import add_sessions
from bench.micro import drain_rates, fsync_milliseconds, routing_rates
from bench.ncl import measure_ncl_starts
from bench.processes import cpu_seconds, pss_mib, tree
from bench.search import measure_index
from bench.turns import one_turn, running_host, warm_turns
from bench.vault import measure_vault
from nanoclaw.config import HostConfig
from nanoclaw.containers.engine_ping import ping
from nanoclaw.errors import ContainerError
from nanoclaw.paths import HostPaths

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True, slots=True)
class Effort:
    """How often things are measured."""

    warm: int
    cold: int
    starts: int
    idle_seconds: float
    sessions: tuple[int, ...]
    messages: int


FULL = Effort(warm=200, cold=15, starts=15, idle_seconds=40, sessions=(10, 1000, 5000),
              messages=1_000_000)  # fmt: skip
QUICK = Effort(warm=20, cold=3, starts=3, idle_seconds=5, sessions=(10, 1000),
               messages=20_000)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few samples, nothing written")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    effort = QUICK if arguments.quick else FULL
    figures: list[Figure] = []
    with work_folder() as folder:
        for step in (measure_disk, measure_start, measure_turns, measure_cold, measure_model,
                     measure_door, measure_idle, measure_throughput, measure_ncl, measure_search,
                     measure_sizes):  # fmt: skip
            print(f"- {step.__name__.removeprefix('measure_')} ...", flush=True)
            figures += step(folder, effort, arguments.seed)
    table = render_table(figures)
    print("\n" + table)
    if not arguments.quick:
        write_json(ROOT / "build" / "bench.json", figures)
        write_page(table)
    return 0


@contextmanager
def work_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="nc-bench-") as name:
        yield Path(name)


def measure_disk(folder: Path, effort: Effort, seed: int) -> list[Figure]:
    samples = fsync_milliseconds(folder, 200)
    return [spread("fsync of 4 KiB", "ms", samples, note="same disk as all the rest")]


def measure_start(folder: Path, effort: Effort, seed: int) -> list[Figure]:
    starts, memory = [], []
    for number in range(effort.starts):
        home = folder / f"start-{number % 2}"
        with running_host(home) as host:
            starts.append(host.start_seconds * 1000)
            time.sleep(1.5)
            memory.append(pss_mib(tree(host.pid)))
    return [
        spread("start: exec to terminal channel accepting", "ms", starts,
               reference="186 ms", bar="≤ 200 ms"),
        spread("memory of the idle tree with the terminal channel", "MiB PSS", memory,
               reference="76 MiB", bar="≤ 70 MiB"),
    ]  # fmt: skip


def measure_turns(folder: Path, effort: Effort, seed: int) -> list[Figure]:
    figures = []
    with running_host(folder / "warm") as host:
        before = pss_mib(tree(host.pid)) + engine_children_mib()
        samples = warm_turns(host, effort.warm, seed)
        after = pss_mib(tree(host.pid)) + engine_children_mib()
        figures.append(
            spread("warm chat turn, our overhead (real Docker)", "ms", samples,
                   reference="p50 731, p95 1,230 ms", bar="p50 ≤ 20, p95 ≤ 50 ms",
                   note="inotify"))  # fmt: skip
        figures.append(
            single("memory that one warm container adds", "MiB PSS", after - before,
                   reference="112 MiB", bar="≤ 60 MiB",
                   note="host tree, shim and runner"))  # fmt: skip
    os.environ["NANOCLAW_WATCH"] = "polling"
    try:
        with running_host(folder / "polling") as host:
            samples = warm_turns(host, effort.warm // 2, seed)
    finally:
        del os.environ["NANOCLAW_WATCH"]
    figures.append(
        spread("warm chat turn with polling on the host's side", "ms", samples, note="no inotify")
    )
    return figures


def measure_cold(folder: Path, effort: Effort, seed: int) -> list[Figure]:
    pause = random.Random(seed)
    samples = []
    with running_host(folder / "cold", "--idle-exit-seconds", "1") as host:
        one_turn(host, "the first start unpacks the runner")
        for number in range(effort.cold):
            wait_until_no_container(host.paths.slug)
            time.sleep(pause.uniform(0.2, 0.8))
            samples.append(one_turn(host, f"cold {number}"))
    return [
        spread("cold turn (no container), overhead (real Docker)", "ms", samples,
               reference="p50 946, p95 1,390 ms", bar="p50 ≤ 450 ms")
    ]  # fmt: skip


def measure_model(folder: Path, effort: Effort, seed: int) -> list[Figure]:
    return measure_agent(folder, effort.cold, effort.warm // 4, seed)


def measure_door(folder: Path, effort: Effort, seed: int) -> list[Figure]:
    return measure_vault(folder / "vault", effort.warm)


def measure_idle(folder: Path, effort: Effort, seed: int) -> list[Figure]:
    figures = []
    for count in effort.sessions:
        home = folder / f"idle-{count}"
        with running_host(home):
            pass
        add_sessions(HostPaths(home), count)
        with running_host(home) as host:
            time.sleep(3)
            pids = tree(host.pid)
            before = cpu_seconds(pids)
            time.sleep(effort.idle_seconds)
            used = cpu_seconds(pids) - before
        figures.append(
            single(f"idle cost of {count:,} sessions on disk", "% of a core",
                   100 * used / effort.idle_seconds, bar="≤ 0.3 %",
                   reference="1.3 s + 3.5 s per pass" if count == 5000 else "",
                   note="no session file opened"))  # fmt: skip
    return figures


def measure_throughput(folder: Path, effort: Effort, seed: int) -> list[Figure]:
    figures = []
    for sessions, reference in ((1, 749), (100, 629)):
        rate = routing_rates(folder / f"routing-{sessions}", sessions, 2000)
        figures.append(
            single(f"routing, durable, {sessions} session(s)", "messages/s", rate,
                   reference=f"{reference}/s", bar=f"≥ {2 * reference:,}/s"))  # fmt: skip
    for sessions, reference in ((1, 1242), (100, 923)):
        for by_key in (True, False):
            rate = drain_rates(folder / f"drain-{sessions}-{by_key}", sessions, 2000, by_key=by_key)
            kind = "idempotent sends" if by_key else "one by one"
            factor = 5 if by_key else 1.3
            figures.append(
                single(f"draining 2,000 rows, {sessions} session(s), {kind}", "rows/s", rate,
                       reference=f"{reference:,}/s",
                       bar=f"≥ {factor * reference:,.0f}/s"))  # fmt: skip
    return figures


def measure_ncl(folder: Path, effort: Effort, seed: int) -> list[Figure]:
    return measure_ncl_starts(folder / "ncl", effort.warm // 4)


def measure_search(folder: Path, effort: Effort, seed: int) -> list[Figure]:
    return measure_index(folder / "search", effort.messages, seed)


def measure_sizes(folder: Path, effort: Effort, seed: int) -> list[Figure]:
    figures = []
    output = subprocess.run(
        ["docker", "image", "ls", "--filter", "label=nanoclaw.build", "--format", "{{.ID}}"],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    if output:
        size = subprocess.run(
            ["docker", "image", "inspect", "--format", "{{.Size}}", output[0]],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        figures.append(single("agent image without browser", "MB", int(size) / 1e6,
                              reference="904 MB", bar="≤ 600 MB"))  # fmt: skip
    file = ROOT / "nanoclaw.pyz"
    if file.exists():
        figures.append(single("nanoclaw.pyz", "MB", file.stat().st_size / 1e6,
                              reference="152 MB of packages", bar="≤ 3 MB"))  # fmt: skip
    return figures


def engine_children_mib() -> float:
    """The engine's shims and everything below them."""
    shims = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if b"containerd-shim" in (entry / "cmdline").read_bytes():
                shims.append(int(entry.name))
        except OSError:
            continue
    return pss_mib([pid for shim in shims for pid in tree(shim)])


def wait_until_no_container(slug: str) -> None:
    command = ["docker", "ps", "-aq", "--filter", f"label=nanoclaw-install={slug}"]
    deadline = time.monotonic() + 60
    while subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip():
        if time.monotonic() > deadline:
            raise RuntimeError("the idle container does not leave")
        time.sleep(0.05)


def write_page(table: str) -> None:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True,
        check=True,
    ).stdout.strip()  # fmt: skip
    page = ROOT / "docs" / "performance.md"
    head, _, history = page.read_text().partition("<!-- table -->")
    _, _, tail = history.partition("<!-- end of table -->")
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, Linux"
    stamp = f"Commit {commit} and what was changed since, {machine}, `make bench`."
    page.write_text(f"{head}<!-- table -->\n\n{stamp}\n\n{table}\n\n<!-- end of table -->{tail}")


if __name__ == "__main__":
    try:
        ping(HostConfig(Path()).docker_host)
    except ContainerError as error:
        sys.exit(f"make bench needs a container engine: {error}")
    raise SystemExit(main())

"""Several programs let loose on one thing at the same moment, for races between processes."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
WAIT_SECONDS = 60


def run_together(
    programs: Sequence[Sequence[str]], environment: Mapping[str, str] | None = None
) -> list[list[str]]:
    """The lines that each program, code and its arguments, has printed.

    Each prints ``ready`` and waits for a line before it begins; nothing may go to standard error.
    """
    children = [
        subprocess.Popen(
            [sys.executable, "-c", *words], cwd=ROOT, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
        )
        for words in programs
    ]  # fmt: skip
    try:
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        outputs = [child.communicate(timeout=WAIT_SECONDS) for child in children]
    finally:
        for child in children:
            child.kill()
            child.wait()
    assert [error for _, error in outputs] == [""] * len(children)
    assert [child.returncode for child in children] == [0] * len(children)
    return [output.splitlines() for output, _ in outputs]

"""Runs the programs of a service manager, with a time limit and bounded output.

Used by the managers of this package; nothing else here starts programs. A program that is missing
or hangs is an outcome like any other, because both are common on small systems.
"""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MISSING, TIMED_OUT = 127, 124
USUAL_SECONDS = 30.0
MAX_OUTPUT = 64 * 1024


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended."""

    code: int
    out: str = ""
    err: str = ""

    @property
    def ok(self) -> bool:
        return self.code == 0

    @property
    def reason(self) -> str:
        """Its last words, for an error text."""
        lines = (self.err or self.out).strip().splitlines()
        return lines[-1] if lines else f"exit code {self.code}"


class Shell:
    """One environment for all programs: the caller's, with the user's bus found (S-138)."""

    def __init__(self, environment: Mapping[str, str], uid: int | None = None) -> None:
        self.uid = os.getuid() if uid is None else uid
        self.environment = dict(environment)
        runtime = Path(f"/run/user/{self.uid}")
        if "XDG_RUNTIME_DIR" not in self.environment and runtime.is_dir():
            self.environment["XDG_RUNTIME_DIR"] = str(runtime)
        self.environment["LC_ALL"] = "C"
        self.environment["SYSTEMD_PAGER"] = ""

    def run(self, *words: str, seconds: float = USUAL_SECONDS) -> Outcome:
        """Never raises for what the program does or does not do."""
        try:
            done = subprocess.run(
                words, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True,
                timeout=seconds, check=False,
            )  # fmt: skip
        except FileNotFoundError:
            return Outcome(MISSING, err=f"{words[0]} is not installed")
        except subprocess.TimeoutExpired:
            return Outcome(TIMED_OUT, err=f"{words[0]} did not end within {seconds:g} seconds")
        except OSError as error:
            return Outcome(MISSING, err=f"{words[0]}: {error.strerror or error}")
        return Outcome(done.returncode, _text(done.stdout), _text(done.stderr))


def _text(data: bytes) -> str:
    return data[:MAX_OUTPUT].decode(errors="replace")

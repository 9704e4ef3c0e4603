"""Is this machine fit, and do the folders of the installation exist?

The first step; every other one counts on the folders. Too little room, an old Python or a home
that cannot be written is said with the one command that helps.
"""

import os
import platform
import shlex
import shutil
import sqlite3
import sys
from collections.abc import Mapping
from pathlib import Path

from nanoclaw.config import HostConfig
from nanoclaw.errors import ConfigError
from nanoclaw.paths import HostPaths
from setup.base import Finding, Question, Status, StepContext, StepResult

OLDEST_PYTHON = (3, 11)
NEEDED_MIB = 512
"""For the databases and logs of the first weeks; images are the engine's affair."""


class EnvironmentStep:
    name = "environment"
    title = "Check this machine and create the folders"
    seconds = 30.0
    needs: tuple[str, ...] = ()
    questions: tuple[Question, ...] = ()

    def inspect(self, config: HostConfig, answers: Mapping[str, str]) -> Finding:
        home = config.home
        missing = missing_folders(config.paths)
        facts = {
            "platform": platform_name(),
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            "home": str(home),
        }
        return Finding(
            done=not missing,
            summary=f"{facts['platform']}, Python {facts['python']}, folders in {home}",
            plan=f"create the folders of this installation in {home}",
            facts=facts,
            blocked=what_blocks(home),
        )

    def apply(self, context: StepContext) -> StepResult:
        try:
            context.config.paths.ensure()
        except ConfigError as error:
            return StepResult(Status.FAILED, str(error))
        return StepResult(Status.SUCCESS, f"folders are in {context.config.home}")

    def verify(self, context: StepContext) -> StepResult:
        paths = context.config.paths
        missing = missing_folders(paths)
        if missing:
            return StepResult(Status.FAILED, f"{missing[0]} is not there or cannot be written")
        fields = {"platform": platform_name(), "python": platform.python_version()}
        return StepResult(Status.SUCCESS, f"{paths.home} can be used", fields)


def missing_folders(paths: HostPaths) -> list[Path]:
    wanted = (paths.home, paths.data, paths.sessions, paths.groups, paths.secrets, paths.logs,
              paths.run, paths.runtime, paths.backups)  # fmt: skip
    return [folder for folder in wanted if not (folder.is_dir() and os.access(folder, os.W_OK))]


def what_blocks(home: Path) -> str:
    """Why nothing can be installed here, with the next command; empty if it can."""
    if sys.version_info[:2] < OLDEST_PYTHON:
        return (
            f"Python {platform.python_version()} is too old; install Python 3.11 or newer and "
            f"start this file with it: python3.11 {shlex.quote(sys.argv[0])} setup"
        )
    existing = home
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
        return (
            f"{existing} cannot be written by you; choose another folder: "
            "nanoclaw setup --home FOLDER"
        )
    free = shutil.disk_usage(existing).free // (1024 * 1024)
    if free < NEEDED_MIB:
        return (
            f"only {free} MiB are free at {existing}, {NEEDED_MIB} are needed; make room or "
            "choose another disk: nanoclaw setup --home FOLDER"
        )
    return ""


def platform_name() -> str:
    """S-6, S-7."""
    system = platform.system()
    if system == "Darwin":
        return "macos"
    if system != "Linux":
        return "unknown"
    try:
        version = Path("/proc/version").read_text(errors="replace").lower()
    except OSError:
        return "linux"
    return "wsl" if "microsoft" in version or "wsl" in version else "linux"

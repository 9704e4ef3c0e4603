"""``nanoclaw extras``: libraries that only some installations want, fetched on demand.

An extra is laid out by pip from a lock file that is packed with the program, with its hashes and
from wheels only, tried out by a fresh Python, and put in its place as a whole: a killed command
leaves the old one or none. A library of the system or of a virtual environment counts as well.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from contract.clock import utc_now
from contract.ids import new_id
from nanoclaw.cli.extras_options import NAMES
from nanoclaw.cli.render import print_json, print_text, render_table
from nanoclaw.config import HostConfig
from nanoclaw.errors import ConfigError
from nanoclaw.paths import make_private_folder

ROOT = Path(__file__).resolve().parents[2]
"""A checkout, or the unpacked copy of nanoclaw.pyz."""
PURPOSE = {"intercept": "look into HTTPS: credentials of services, rules with methods and paths"}
TRIED = {"intercept": "cryptography.hazmat.primitives.asymmetric.ec"}
"""What has to be importable."""
PIP_SECONDS = 900
TRY_SECONDS = 60
_MAX_SHOWN = 2000
_TRY = "import importlib, sys; sys.path[len(sys.path):] = sys.argv[2:]; " + (
    "importlib.import_module(sys.argv[1])"
)


class ExtraError(ConfigError):
    """An extra could not be had; the text says what to do."""


def main(arguments: argparse.Namespace, config: HostConfig) -> int:
    if arguments.extras_command == "list":
        return _list(config, as_json=arguments.json)
    if arguments.extras_command == "remove":
        return _remove(config, arguments.name)
    return _add(config, arguments.name)


def _list(config: HostConfig, *, as_json: bool) -> int:
    rows = [(name, _state(config, name), PURPOSE[name]) for name in NAMES]
    if as_json:
        print_json([dict(zip(("name", "state", "purpose"), row, strict=True)) for row in rows])
    else:
        print_text(render_table([("NAME", "STATE", "FOR"), *rows]))
    return 0


def _state(config: HostConfig, name: str) -> str:
    folder = config.paths.extras(name)
    if _problem(TRIED[name]) is None:
        return "there (of this Python)"
    if not folder.is_dir():
        return "not there"
    return "there" if _problem(TRIED[name], folder) is None else "damaged; add it again"


def _add(config: HostConfig, name: str) -> int:
    if _problem(TRIED[name]) is None:
        print_text(f"{name} is there already: this Python has its libraries.")
    else:
        folder = config.paths.extras(name)
        for needed in (config.home, folder.parent):
            make_private_folder(needed)
        fresh = folder.with_name(f".{new_id(name)}")
        try:
            _lay_out(ROOT / "lock" / f"{name}.txt", fresh)
            problem = _problem(TRIED[name], fresh)
            if problem is not None:
                raise ExtraError(f"{name} was fetched, but does not work here: {problem}")
            _take_away(folder)
            fresh.rename(folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        print_text(f"{name} is in {folder}.")
    _make_authority(config)
    print_text("It counts at once; agents that run now trust it from their next start on.")
    return 0


def _remove(config: HostConfig, name: str) -> int:
    folder = config.paths.extras(name)
    if not folder.is_dir():
        raise ExtraError(f"{name} is not in {folder.parent}; see `nanoclaw extras list`")
    _take_away(folder)
    print_text(f"{name} is removed; a vault that runs keeps it until it is started again.")
    return 0


def _take_away(folder: Path) -> None:
    """Out of the way first, in one step."""
    aside = folder.with_name(f".{new_id('old')}")
    try:
        folder.rename(aside)
    except FileNotFoundError:
        return
    shutil.rmtree(aside, ignore_errors=True)


def _make_authority(config: HostConfig) -> None:
    """So that the next container to start trusts it already."""
    from nanoclaw.vault import library
    from nanoclaw.vault.authority import Authority

    problem = library.problem(config.paths.extras(library.EXTRA))
    if problem is not None:
        raise ExtraError(problem)
    make_private_folder(config.paths.secrets)
    Authority(config.paths.authority, f"NanoClaw {config.paths.slug}").ensure(utc_now())


def _lay_out(lock: Path, folder: Path) -> None:
    command = [
        sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
        "--no-input", "--require-hashes", "--no-deps", "--only-binary", ":all:",
        "--target", str(folder), "-r", str(lock),
    ]  # fmt: skip
    done = _run(command, PIP_SECONDS)
    if done is not None:
        raise ExtraError(
            f"pip could not fetch the libraries: {done}\n"
            "Without pip or a network, install your distribution's package instead (Debian: "
            "python3-cryptography) for the Python that runs this"
        )


def _problem(module: str, folder: Path | None = None) -> str | None:
    """Why the module cannot be imported by a fresh Python; None when it can."""
    command = [sys.executable, "-c", _TRY, module, *([str(folder)] if folder else [])]
    return _run(command, TRY_SECONDS)


def _run(command: Sequence[str], seconds: float) -> str | None:
    """What went wrong; None: nothing."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=seconds, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)[:_MAX_SHOWN]
    if done.returncode == 0:
        return None
    return (done.stderr.strip() or done.stdout.strip())[-_MAX_SHOWN:] or "it failed without a word"

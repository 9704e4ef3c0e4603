"""``nanoclaw backup``: makes, lists, checks and restores backups.

Works with a running host, but for ``restore``. Exit codes: 0 done; 1 it failed or the backup is
damaged (78 where the state or a setting is to be corrected first); 2 wrong words, or a question
that nobody is there to answer. Progress goes to standard error, and only to a terminal.
"""

import argparse
import sys
import time
from dataclasses import asdict
from pathlib import Path

from contract.clock import utc_now
from nanoclaw.backup import catalog
from nanoclaw.backup.create import create, file_name
from nanoclaw.backup.manifest import Manifest
from nanoclaw.backup.reading import verify
from nanoclaw.backup.restore import Restored, look, restore
from nanoclaw.backup.retention import Keep, parse_keep
from nanoclaw.backup.sources import Wanted
from nanoclaw.cli.render import print_error, print_json, print_text, render_table
from nanoclaw.cli.terminal import can_ask, confirmed
from nanoclaw.config import HostConfig
from nanoclaw.errors import ConfigError
from nanoclaw.paths import HostPaths

PROGRESS_SECONDS = 1.0
NOT_CONFIRMED = 2


def main(arguments: argparse.Namespace, config: HostConfig) -> int:
    run = {
        "create": _create, "list": _list, "verify": _verify, "restore": _restore, "prune": _prune,
    }[arguments.backup_command]  # fmt: skip
    return run(arguments, config)


def _create(arguments: argparse.Namespace, config: HostConfig) -> int:
    folder = arguments.output.absolute() if arguments.output else config.paths.backups
    now = utc_now()
    if arguments.dry_run:
        print_text(f"would write {folder / file_name(now)}")
        return 0
    wanted = Wanted(arguments.with_secrets, arguments.with_logs)
    with _Progress("saved") as progress:
        made = create(config, wanted, now, progress.show, folder)
    manifest = made.manifest
    if arguments.json:
        print_json({"path": str(made.path), "bytes": made.bytes, **_summary(manifest)})
        return 0
    print_text(f"{made.path}\n{size_text(made.bytes)}, {_contents(manifest)}")
    if not manifest.with_secrets:
        print_text("secrets are not in it; --with-secrets takes them along")
    _show_left_out(manifest)
    return 0


def _list(arguments: argparse.Namespace, config: HostConfig) -> int:
    found = catalog.entries(config.paths.backups)
    if arguments.json:
        print_json(
            [
                {"path": str(entry.path), "bytes": entry.bytes, "problem": entry.problem}
                | (_summary(entry.manifest) if entry.manifest else {})
                for entry in found
            ]
        )
        return 0
    if not found:
        print_text(f"there are no backups in {config.paths.backups}; `nanoclaw backup create`")
        return 0
    rows = [("FILE", "SIZE", "SECRETS", "STATE")]
    for entry in found:
        secrets = "-" if entry.manifest is None else _yes(entry.manifest.with_secrets)
        state = "whole" if entry.manifest is not None else "DAMAGED"
        rows.append((entry.path.name, size_text(entry.bytes), secrets, state))
    print_text(f"in {config.paths.backups}\n{render_table(rows)}")
    for entry in found:
        if entry.problem:
            print_error(entry.problem)
    return 0


def _verify(arguments: argparse.Namespace, config: HostConfig) -> int:
    path = _file(arguments.file, config.paths)
    if arguments.drill:
        from nanoclaw.backup.drill import drill

        with _Progress("drill") as progress:
            proof = drill(path, config, utc_now(), progress.note)
        if arguments.json:
            print_json(asdict(proof))
        else:
            print_text(
                f"{path} can be restored: {proof.sessions} session(s) read, a host started on it "
                f"after {proof.seconds:.1f} s and stopped again"
            )
        return 0
    manifest = verify(path)
    if arguments.json:
        print_json({"path": str(path), "whole": True, **_summary(manifest)})
    else:
        print_text(f"{path} is whole: {_contents(manifest)}")
        _show_left_out(manifest)
    return 0


def _restore(arguments: argparse.Namespace, config: HostConfig) -> int:
    path = _file(arguments.file, config.paths)
    home = arguments.to.expanduser().absolute() if arguments.to else config.home
    manifest = look(path)
    what = f"{path.name} ({_contents(manifest)}) to {home}"
    if arguments.dry_run:
        print_text(f"would restore {what}; what is there would be kept in before-restore-...")
        return 0
    if not arguments.yes and not _agreed(f"Restore {what}?"):
        return NOT_CONFIRMED
    with _Progress("restore") as progress:
        progress.note("unpacking")
        done = restore(path, HostPaths(home), utc_now())
    if arguments.json:
        print_json(
            {"home": str(home), "aside": str(done.aside) if done.aside else None,
             "held": done.held, "unseen": done.unseen, "migrations": list(done.migrations),
             **_summary(manifest)}
        )  # fmt: skip
    else:
        _show_restored(home, done)
    return 0


def _prune(arguments: argparse.Namespace, config: HostConfig) -> int:
    keep = _keep(arguments.keep)
    now = utc_now()
    found = catalog.to_prune(config.paths, keep, now)
    if found and not arguments.dry_run:
        names = ", ".join(path.name for path in found)
        if not arguments.yes and not _agreed(f"Delete {names}?"):
            return NOT_CONFIRMED
        found = catalog.prune(config.paths, keep, now)
    if arguments.json:
        print_json({"dry_run": arguments.dry_run, "deleted": [str(path) for path in found]})
        return 0
    word = "would delete" if arguments.dry_run else "deleted"
    print_text("\n".join(f"{word} {path}" for path in found) or "nothing is superfluous")
    return 0


# --- words and files ------------------------------------------------------------------------------


def _keep(text: str | None) -> Keep:
    try:
        return parse_keep(text) if text else Keep()
    except ValueError as error:
        raise ConfigError(f"--keep {text!r} {error}") from None


def _file(given: Path, paths: HostPaths) -> Path:
    """As given, or the name of one in ``backups/``."""
    below = paths.backups / given.name
    if not given.exists() and given.name == str(given) and below.exists():
        return below
    return given.absolute()


def _agreed(question: str) -> bool:
    if not can_ask():
        print_error("nobody is there to be asked; add --yes")
        return False
    return confirmed(question)


# --- what is shown --------------------------------------------------------------------------------


class _Progress:
    """A line on a terminal's standard error that is taken away at the end."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._shown = False
        self._next = time.monotonic() + PROGRESS_SECONDS
        self._terminal = sys.stderr.isatty()

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()

    def show(self, name: str, done: int) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + PROGRESS_SECONDS
            self.note(f"{size_text(done)} {name[-40:]}")

    def note(self, text: str) -> None:
        if self._terminal:
            self._shown = True
            sys.stderr.write(f"\r\033[K{self._what}: {text}"[:84])
            sys.stderr.flush()


def size_text(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def _summary(manifest: Manifest) -> dict[str, object]:
    return {
        "created_at": manifest.created_at, "program": manifest.program, "schema": manifest.schema,
        "slug": manifest.slug, "with_secrets": manifest.with_secrets, "counts": manifest.counts,
        "unpacked_bytes": manifest.total_bytes, "left_out_count": manifest.left_out_count,
        "left_out": [asdict(item) for item in manifest.left_out],
    }  # fmt: skip


def _contents(manifest: Manifest) -> str:
    sessions = manifest.counts.get("sessions", 0)
    return (
        f"{len(manifest.members)} files, {size_text(manifest.total_bytes)}, {sessions} session(s), "
        f"made {manifest.created_at} by {manifest.program}"
    )


def _show_left_out(manifest: Manifest) -> None:
    if manifest.left_out_count:
        first = "; ".join(f"{item.name}: {item.reason}" for item in manifest.left_out[:3])
        more = manifest.left_out_count - 3
        print_text(f"left out: {first}" + (f"; and {more} more" if more > 0 else ""))


def _show_restored(home: Path, done: Restored) -> None:
    print_text(f"restored to {home}")
    if done.aside is not None:
        print_text(f"what was there is in {done.aside}; `nanoclaw backup prune` removes it in time")
    if done.held or done.unseen:
        print_text(
            f"{done.held} message(s) and new output of {done.unseen} session(s) were waiting and "
            "may have been sent since;\nthey are held: `ncl messages list --state uncertain`"
        )
    if not done.manifest.with_secrets:
        print_text("secrets were not in it: look with `nanoclaw secrets list`")
    print_text("start the host with `nanoclaw run`")


def _yes(value: bool) -> str:
    return "yes" if value else "no"

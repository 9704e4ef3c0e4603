"""``nanoclaw disk``: what takes space below the home, and ``clean`` for what may go now.

Works with and without a running host. ``clean`` deletes what retention does not keep: backups,
data of before a restore, and logs of sessions that are long quiet. Exit codes: 0 done; 2 a
question that nobody is there to answer.
"""

import argparse
from dataclasses import asdict

from contract.clock import utc_now
from nanoclaw.backup import catalog
from nanoclaw.backup.retention import parse_keep
from nanoclaw.cli.backup import size_text
from nanoclaw.cli.render import print_error, print_json, print_text, render_table
from nanoclaw.cli.terminal import can_ask, confirmed
from nanoclaw.config import HostConfig
from nanoclaw.disk.clean import LOG_DAYS, old_logs
from nanoclaw.disk.usage import Part, Usage, measure
from nanoclaw.errors import ConfigError

TOP_GROUPS = 10
NOT_CONFIRMED = 2


def main(arguments: argparse.Namespace, config: HostConfig) -> int:
    if not config.home.is_dir():
        raise ConfigError(f"there is no folder {config.home}; choose another one with --home")
    if getattr(arguments, "disk_command", None) == "clean":
        return _clean(arguments, config)
    usage = measure(config.paths)
    rules = {
        "backup_every": config.backup_every,
        "backup_keep": config.backup_keep,
        "before_restore_days": catalog.ASIDE_DAYS,
        "session_log_days": LOG_DAYS,
    }
    if arguments.json:
        print_json(
            {"home": str(config.home), "total": usage.total, "limits": rules, **asdict(usage)}
        )
    else:
        _show(usage, config, rules)
    return 0


def _show(usage: Usage, config: HostConfig, rules: dict[str, object]) -> None:
    print_text(f"{config.home}: {size_text(usage.total)}, {size_text(usage.free)} left on its disk")
    print_text(_table("PART", usage.parts))
    if usage.groups:
        print_text("\nsessions by agent group, the largest")
        print_text(_table("GROUP", usage.groups[:TOP_GROUPS]))
    print_text("\nin force: " + ", ".join(f"{key} = {value}" for key, value in rules.items()))
    if not usage.complete:
        print_error("there are too many files to count them all; the figures are too small")


def _table(title: str, parts: list[Part]) -> str:
    rows = [(title, "SIZE", "FILES")]
    rows += [(part.name, size_text(part.bytes), str(part.files)) for part in parts]
    return render_table(rows)


def _clean(arguments: argparse.Namespace, config: HostConfig) -> int:
    now = utc_now()
    keep = parse_keep(config.backup_keep)
    found = [*catalog.to_prune(config.paths, keep, now), *old_logs(config.paths, now)]
    if found and not arguments.dry_run:
        if not arguments.yes and not _agreed(f"Delete {len(found)} file(s) and folder(s)?"):
            return NOT_CONFIRMED
        catalog.prune(config.paths, keep, now)
        for path in old_logs(config.paths, now):
            path.unlink(missing_ok=True)
    if arguments.json:
        print_json({"dry_run": arguments.dry_run, "deleted": [str(path) for path in found]})
        return 0
    word = "would delete" if arguments.dry_run else "deleted"
    print_text("\n".join(f"{word} {path}" for path in found) or "nothing may go")
    return 0


def _agreed(question: str) -> bool:
    if not can_ask():
        print_error("nobody is there to be asked; add --yes, or look first with --dry-run")
        return False
    return confirmed(question)

"""``nanoclaw support``: shows what the archive for a helper holds, and writes it.

Works with and without a host, and with settings that cannot be read. Exit codes: 0 written (or
shown); 78 it cannot be written.
"""

import argparse
import sys
from pathlib import Path

from contract.clock import to_text, utc_now
from nanoclaw.cli.backup import size_text
from nanoclaw.cli.doctor import as_json
from nanoclaw.cli.render import print_json, print_text, render_table
from nanoclaw.doctor.facts import read_facts
from nanoclaw.doctor.run import examine
from nanoclaw.doctor.table import CHECKS
from nanoclaw.support.bundle import gather, write


def main(arguments: argparse.Namespace) -> int:
    if sys.stderr.isatty():
        sys.stderr.write("looking the installation over ...\n")
    facts = read_facts(getattr(arguments, "home", None))
    parts = gather(facts.config, as_json(facts, examine(facts, CHECKS)))
    now = utc_now()
    name = to_text(now).replace(":", "").replace(".", "")
    target: Path = arguments.output or Path(f"nanoclaw-support-{name}.tar.gz")
    if not arguments.json:
        rows = [(part.name, size_text(len(part.data)), part.what) for part in parts]
        print_text(render_table([("FILE", "SIZE", "WHAT"), *rows]))
    if not arguments.dry_run:
        write(parts, target, now)
    if arguments.json:
        print_json({
            "file": None if arguments.dry_run else str(target.absolute()),
            "dry_run": arguments.dry_run,
            "parts": [{"name": p.name, "bytes": len(p.data), "what": p.what} for p in parts],
        })  # fmt: skip
    elif not arguments.dry_run:
        print_text(f"\nwritten: {target}; look into it before you send it")
    return 0

"""``nanoclaw doctor``: looks the installation over, says what is wrong and how it is mended.

Works with and without a host, a home, an engine, and with settings that cannot be read. Exit
codes: 0 no errors (with --lint: and no warnings); 1 some; 2 wrong words, or a question that nobody
is there to answer.
"""

import argparse
import re
import sys
import textwrap
from collections import Counter
from collections.abc import Sequence

from nanoclaw.cli.render import print_error, print_json, print_text, render_table
from nanoclaw.cli.terminal import can_ask, confirmed
from nanoclaw.doctor.base import Check, Severity
from nanoclaw.doctor.facts import Facts, read_facts
from nanoclaw.doctor.run import Outcome, State, cure, examine
from nanoclaw.doctor.table import CHECKS

WIDTH = 80
FOUND, USAGE = 1, 2
_WORD = re.compile(r"(?:'[^']*'|\S)+")


def main(arguments: argparse.Namespace) -> int:
    chosen = choose(arguments.only)
    if chosen is None:
        print_error(f"--only {arguments.only}: no such check or area; see `nanoclaw doctor --list`")
        return USAGE
    if arguments.list:
        _list(chosen, as_json=arguments.json)
        return 0
    facts = read_facts(getattr(arguments, "home", None), online=arguments.online)
    if sys.stderr.isatty():
        sys.stderr.write(f"{len(chosen)} checks ...\n")
    outcomes = examine(facts, chosen)
    done: list[tuple[str, str]] = []
    if arguments.fix:
        curable = [o for o in outcomes if o.state is State.FOUND and o.check.cure is not None]
        if curable and not arguments.dry_run:
            if not arguments.yes and not _agreed(curable):
                return USAGE
            done = cure(facts, curable)
            facts = read_facts(getattr(arguments, "home", None), online=arguments.online)
            outcomes = examine(facts, chosen)
        elif arguments.dry_run:
            done = [(o.check.id, f"would mend: {o.finding.evidence}") for o in curable if o.finding]
    if arguments.json:
        print_json(as_json(facts, outcomes, done))
    else:
        print_text(render(facts, outcomes, done))
    return exit_code(outcomes, lint=arguments.lint)


def choose(words: str) -> list[Check] | None:
    """By ids and areas; None for a word that is neither."""
    wanted = {word.strip() for word in words.split(",") if word.strip()}
    known = {check.id for check in CHECKS} | {check.area for check in CHECKS}
    if not wanted <= known:
        return None
    return [c for c in CHECKS if not wanted or c.id in wanted or c.area in wanted]


def exit_code(outcomes: Sequence[Outcome], *, lint: bool) -> int:
    bad = {Severity.ERROR, Severity.WARNING} if lint else {Severity.ERROR}
    return FOUND if any(outcome.severity in bad for outcome in outcomes) else 0


def fix_of(facts: Facts, outcome: Outcome) -> str:
    if outcome.finding is not None and outcome.finding.fix:
        return outcome.finding.fix
    if outcome.check.cure is not None:
        return facts.command(f"doctor --fix --yes --only {outcome.check.id}")
    return ""


def as_json(
    facts: Facts, outcomes: Sequence[Outcome], done: Sequence[tuple[str, str]] = ()
) -> dict[str, object]:
    """Only grows; ``checks`` are all that were done, ``counts`` what they found."""
    return {
        "home": str(facts.paths.home),
        "host_running": facts.host_pid is not None,
        "counts": _counts(outcomes),
        "fixed": [{"id": name, "text": text} for name, text in done],
        "checks": [
            {
                "id": o.check.id,
                "area": o.check.area,
                "severity": o.severity or o.check.severity,
                "state": o.state,
                "title": o.check.title,
                "evidence": o.finding.evidence if o.finding else o.reason,
                "meaning": o.finding.meaning if o.finding else "",
                "fix": fix_of(facts, o) if o.state is State.FOUND else "",
                "fix_is_command": bool(o.finding and not o.finding.by_hand),
            }
            for o in outcomes
        ],
    }


def _counts(outcomes: Sequence[Outcome]) -> dict[str, int]:
    severities = Counter(outcome.severity for outcome in outcomes)
    states = Counter(outcome.state for outcome in outcomes)
    return {
        "errors": severities[Severity.ERROR],
        "warnings": severities[Severity.WARNING],
        "notes": severities[Severity.NOTE],
        "good": states[State.GOOD],
        "skipped": states[State.SKIPPED],
    }


def render(facts: Facts, outcomes: Sequence[Outcome], done: Sequence[tuple[str, str]] = ()) -> str:
    """Worst first, and by area within one severity."""
    blocks = [f"fixed {name}: {text}" for name, text in done]
    for severity in Severity:
        found = [outcome for outcome in outcomes if outcome.severity is severity]
        for outcome in found:
            blocks.append(_block(facts, severity, outcome))
    counts = _counts(outcomes)
    words = {
        name: name.removesuffix("s") if number == 1 else name for name, number in counts.items()
    }
    blocks.append(", ".join(f"{number} {words[name]}" for name, number in counts.items()))
    return "\n\n".join(blocks)


def _block(facts: Facts, severity: Severity, outcome: Outcome) -> str:
    evidence = outcome.finding.evidence if outcome.finding else f"not checked: {outcome.reason}"
    lines = [f"{severity.upper()} {outcome.check.area}: {outcome.check.id}", *_wrap(evidence)]
    if outcome.finding is not None:
        lines += _wrap(outcome.finding.meaning)
        fix = fix_of(facts, outcome)
        lines += _wrap(f"do: {fix}") if outcome.finding.by_hand else _command(f"fix: {fix}")
    return "\n".join(lines)


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(" ".join(text.split()), WIDTH, initial_indent="  ",
                         subsequent_indent="  ", break_on_hyphens=False)  # fmt: skip


def _command(text: str) -> list[str]:
    """Cut between words, so that what is copied still works in a shell."""
    lines, line = [], " "
    for word in _WORD.findall(text):
        if len(line) + len(word) + 3 > WIDTH and line.strip():
            lines.append(f"{line} \\")
            line = "      "
        line += f" {word}"
    return [*lines, line]


def _list(checks: Sequence[Check], *, as_json: bool) -> None:
    rows = [(c.id, c.area, str(c.severity), "--fix" if c.cure else "-", c.title) for c in checks]
    keys = ("id", "area", "severity", "fix", "title")
    if as_json:
        print_json([dict(zip(keys, row, strict=True)) for row in rows])
    else:
        print_text(render_table([("ID", "AREA", "SEVERITY", "FIX", "WHAT IS RIGHT"), *rows]))


def _agreed(outcomes: Sequence[Outcome]) -> bool:
    if not can_ask():
        print_error("nobody is there to be asked; add --yes, or look first with --dry-run")
        return False
    return confirmed(f"Mend {', '.join(outcome.check.id for outcome in outcomes)}?")

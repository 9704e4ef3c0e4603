"""Numbers of one benchmark run and how they are kept: JSON for tools, a table for people."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. ``value`` is what is compared with the bar; p50 and p95 if many."""

    name: str
    unit: str
    value: float
    p50: float | None
    p95: float | None
    n: int
    reference: str = ""
    bar: str = ""
    note: str = ""


def spread(
    name: str,
    unit: str,
    samples: Sequence[float],
    *,
    reference: str = "",
    bar: str = "",
    note: str = "",
) -> Figure:
    """The figure of repeated measurements; its value is the median."""
    ordered = sorted(samples)
    p50, p95 = percentile(ordered, 0.50), percentile(ordered, 0.95)
    return Figure(name, unit, p50, p50, p95, len(ordered), reference, bar, note)


def single(
    name: str, unit: str, value: float, *, reference: str = "", bar: str = "", note: str = ""
) -> Figure:
    return Figure(name, unit, value, None, None, 1, reference, bar, note)


def percentile(ordered: Sequence[float], share: float) -> float:
    """Nearest rank: always a value that was measured."""
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def write_json(path: Path, figures: Sequence[Figure]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    keys = ("name", "unit", "value", "p50", "p95", "n")
    rows = [{key: asdict(figure)[key] for key in keys} for figure in figures]
    path.write_text(json.dumps(rows, indent=1) + "\n")


def render_table(figures: Sequence[Figure]) -> str:
    """A Markdown table, one line per figure."""
    lines = [
        "| what | measured | p95 | n | reference | our bar | how |",
        "|---|---:|---:|---:|---|---|---|",
    ]
    for figure in figures:
        p95 = "" if figure.p95 is None else f"{_short(figure.p95)} {figure.unit}"
        lines.append(
            f"| {figure.name} | {_short(figure.value)} {figure.unit} | {p95} | {figure.n} "
            f"| {figure.reference} | {figure.bar} | {figure.note} |"
        )
    return "\n".join(lines)


def _short(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"

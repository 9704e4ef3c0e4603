"""The only file of the host that prints: results as text or JSON, errors as one line.

Called by the commands in ``cli``. Text is for people and may change; the JSON forms are for
programs and only grow.
"""

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contract.ncl_answer import Output
    from nanoclaw.cli.status import HostView
    from nanoclaw.supervise.status import ChildStatus


def print_text(text: str) -> None:
    sys.stdout.write(text if text.endswith("\n") else text + "\n")
    sys.stdout.flush()


def print_json(value: object) -> None:
    print_text(json.dumps(value, indent=2, ensure_ascii=False))


def print_error(text: str, *, program: str = "nanoclaw") -> None:
    """One line on standard error, whatever the text contains."""
    sys.stderr.write(f"{program}: {' '.join(text.split())}\n")
    sys.stderr.flush()


def print_output(output: "Output") -> int:
    """What ``ncl`` has to say, in whatever letters the stream has; the exit status.

    A reader that has gone away (``| head``) is no trouble and hears of none.
    """
    if output.nothing:
        return output.status
    stream = sys.stderr if output.to_stderr else sys.stdout
    text = output.text if output.text.endswith("\n") else output.text + "\n"
    stream.flush()
    try:
        stream.buffer.write(text.encode(stream.encoding or "utf-8", "backslashreplace"))
        stream.buffer.flush()
    except BrokenPipeError:
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, stream.fileno())  # what Python still flushes at its exit goes there
        os.close(devnull)
    return output.status


def render_table(rows: Iterable[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; the last one is not padded."""
    cells = [tuple(row) for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )
    return "\n".join(lines)


def render_value(value: object, indent: str = "") -> str:
    """Any JSON value as indented ``key: value`` lines."""
    if isinstance(value, Mapping):
        return "\n".join(_entry(f"{key}:", item, indent) for key, item in value.items())
    if isinstance(value, list):
        return "\n".join(_entry("-", item, indent) for item in value)
    return indent + ("-" if value is None else str(value))


def _entry(label: str, item: object, indent: str) -> str:
    if isinstance(item, Mapping | list) and item:
        return f"{indent}{label}\n{render_value(item, indent + '  ')}"
    return f"{indent}{label} {'-' if item in (None, [], {}) else item}"


def render_host_view(view: "HostView") -> str:
    """What ``nanoclaw status`` shows."""
    host = view.host
    if not view.running:
        last = f"; the last one was {host.state} at {host.updated_at}" if host is not None else ""
        from shlex import quote  # ``ncl`` has no use for it

        command = f"nanoclaw run --home {quote(str(view.home))}"
        return f"no host is running on {view.home}{last}\nstart it with `{command}`"
    if host is None:
        return f"a host (pid {view.pid}) is starting on {view.home}"
    lines = [
        f"nanoclaw {host.version} is {host.state} on {view.home}",
        f"pid {host.pid}, started {host.started_at}",
        "",
        render_table([("CHILD", "STATE", "PID", "SINCE", "RESTARTS", "DETAIL")]
                     + [_child_row(child) for child in host.children]),
    ]  # fmt: skip
    for name, section in view.facts.items():
        lines += ["", f"{name}:", render_value(section, "  ")]
    return "\n".join(lines)


def _child_row(child: "ChildStatus") -> tuple[str, ...]:
    notes = [f"{key}={value}" for key, value in child.notes.items()]
    if child.reason:
        notes.append(child.reason)
    if child.next_attempt:
        notes.append(f"next attempt {child.next_attempt}")
    pid = str(child.pid) if child.pid is not None else "-"
    detail = "; ".join(notes)
    return child.name, child.state, pid, child.since, str(child.restarts), detail

"""What ``ncl search``, ``why``, ``top`` and ``status`` look like for people. Pure.

Called by ``ncl_views`` and ``ncl_live`` with the data of an answer. Every text in it may come from
a chat, so that nothing gets to the terminal but through ``safe_text`` or a table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from contract.display import safe_text
from contract.table import Look, render_rows

Row = Mapping[str, object]

_ANSWERED = {True: "yes", False: "no", None: "not yet"}
_SEARCH_COLUMNS = ("at", "kind", "session_id", "sender", "text")


def rows_of(value: object) -> list[Row]:
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []


def search_text(data: Row, look: Look) -> str:
    rows = rows_of(data.get("results"))
    if not rows:
        return "nothing found"
    return render_rows([{name: row.get(name) for name in _SEARCH_COLUMNS} for row in rows], look)


def search_note(data: Row) -> str:
    """What may be missing; empty: nothing."""
    notes = []
    if data.get("complete") is False:
        notes.append("older messages were not looked through; add a longer word to find them too")
    waiting = data.get("sessions_to_read")
    if isinstance(waiting, int) and waiting > 0:
        notes.append(f"{waiting} conversations are still being read")
    return "; ".join(notes)


def why_text(data: Row, look: Look) -> str:
    lines = []
    if data.get("text"):
        lines.append(_safe(data["text"]))
    answered = data.get("answered")
    lines.append(f"answered: {_ANSWERED[answered if isinstance(answered, bool) else None]}")
    lines.append(f"cause:    {_safe(data.get('cause'))}")
    if data.get("todo"):
        lines.append(f"next:     {_safe(data['todo'])}")
    timeline = rows_of(data.get("timeline"))
    if timeline:
        lines += ["", render_rows(timeline, look)]
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Screen:
    """``rows`` None: as many lines as there are."""

    look: Look
    rows: int | None = None


def top_text(data: Row, before: Row | None, screen: Screen) -> str:
    """``before``: an earlier look, from which shares of the processor are worked out."""
    lines = [*_top_head(data), ""]
    children = [
        _child(row, _twin(row, before), data, before) for row in rows_of(data.get("children"))
    ]
    if children:
        lines += [render_rows(children, screen.look), ""]
    sessions = [_session(row) for row in rows_of(data.get("sessions"))]
    if sessions:
        lines += [render_rows(sessions, screen.look), ""]
    tasks = rows_of(data.get("tasks"))
    if tasks:
        lines += [render_rows(tasks, screen.look)]
    whole = "\n".join(lines).rstrip("\n").split("\n")
    return "\n".join(whole if screen.rows is None else whole[: screen.rows])


def _top_head(data: Row) -> list[str]:
    host, work = _part(data, "host"), _part(data, "work")
    today, containers = _part(data, "today"), _part(data, "containers")
    state = f"nanoclaw {host.get('version')} {host.get('state')}" if host else "no status file"
    running, limit = containers.get("running", "0"), containers.get("max_running", "?")
    engine = " ".join(str(containers.get(key, "")) for key in ("engine", "reason")).strip()
    usd = today.get("usd")
    money = f"{usd:.2f}" if isinstance(usd, int | float) else "?"
    return [
        _safe(f"{state}   {data.get('at')}"),
        _safe(
            f"sessions {work.get('sessions_running')} running ({running} of {limit} containers), "
            f"{work.get('sessions_waiting')} waiting, {work.get('sessions_quarantined')} set aside"
            f"   engine: {engine or '-'}"
        ),
        _safe(
            f"messages {work.get('events_unrouted')} to route, {work.get('deliveries_queued')} to "
            f"send   today {today.get('requests')} requests, {today.get('tokens')} tokens, "
            f"${money}"
        ),
    ]


def _child(row: Row, twin: Row | None, data: Row, before: Row | None) -> Row:
    return {
        "process": row.get("name"),
        "state": row.get("state"),
        "pid": row.get("pid"),
        "cpu_%": _share(row, twin, data, before),
        "mib": row.get("memory_mib"),
        "restarts": row.get("restarts"),
        "reason": row.get("reason"),
    }


def _twin(row: Row, before: Row | None) -> Row | None:
    """The same process at the earlier look."""
    earlier = rows_of(before.get("children")) if before is not None else []
    return next((one for one in earlier if one.get("pid") == row.get("pid")), None)


def _share(row: Row, twin: Row | None, data: Row, before: Row | None) -> str | None:
    used = (row.get("cpu_seconds"), twin.get("cpu_seconds") if twin is not None else None)
    when = (data.get("seconds"), before.get("seconds") if before is not None else None)
    match used, when:
        case (int() | float() as now, int() | float() as then), (
            int() | float() as here, int() | float() as there,
        ) if here > there:  # fmt: skip
            return f"{max(0.0, 100 * (now - then) / (here - there)):.1f}"
        case _:
            return None


def _session(row: Row) -> Row:
    shown = ("session_id", "agent_group_id", "state", "started_at", "due_at", "reason")
    return {name: row.get(name) for name in shown}


def last_states(children: Sequence[Row], look: Look) -> str:
    """Processes of a host that is gone, as its status file has them."""
    rows = [
        {name: row.get(name) for name in ("name", "state", "since", "last_exit", "reason")}
        for row in children
    ]
    return render_rows(rows, replace(look, coloured=False)) if rows else ""


def _part(data: Row, name: str) -> Row:
    value = data.get(name)
    return value if isinstance(value, Mapping) else {}


def _safe(value: object) -> str:
    return safe_text(" ".join(str(value).split("\n")))

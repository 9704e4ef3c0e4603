"""The cells of a Jupyter notebook as text, with what they printed (R-253). Pure."""

import json
from collections.abc import Iterator

MAX_NOTEBOOK_BYTES = 16 * 1024 * 1024
MAX_OUTPUT = 2000
"""Characters of one output."""


def cells_of(data: bytes) -> str | None:
    """None when it is no notebook."""
    try:
        notebook = json.loads(data)
    except (ValueError, RecursionError):
        return None
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list):
        return None
    return "\n\n".join("\n".join(_cell(cell)) for cell in cells if isinstance(cell, dict))


def _cell(cell: dict[str, object]) -> Iterator[str]:
    yield f"# [{str(cell.get('cell_type', 'cell'))[:40]}]"
    yield _joined(cell.get("source"))
    outputs = cell.get("outputs")
    for output in outputs if isinstance(outputs, list) else ():
        text = _output(output) if isinstance(output, dict) else ""
        if text:
            cut = " [cut]" if len(text) > MAX_OUTPUT else ""
            yield f"# [output]\n{text[:MAX_OUTPUT]}{cut}"


def _output(output: dict[str, object]) -> str:
    if output.get("output_type") == "error":
        return f"{_joined(output.get('ename'))}: {_joined(output.get('evalue'))}"
    data = output.get("data")
    plain = data.get("text/plain") if isinstance(data, dict) else output.get("text")
    kinds = ", ".join(str(kind) for kind in data) if isinstance(data, dict) else ""
    return _joined(plain).rstrip("\n") or (f"({kinds[:200]})" if kinds else "")


def _joined(value: object) -> str:
    """Notebooks keep a text as such, or as a list of its lines."""
    if isinstance(value, list):
        return "".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""

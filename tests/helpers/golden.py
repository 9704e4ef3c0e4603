"""Texts that are made by the program and kept in the repository: compared, or written anew."""

from pathlib import Path

import pytest


def check_golden(request: pytest.FixtureRequest, path: Path, text: str) -> None:
    """``--update-golden`` writes ``text`` first; the difference is then for the reviewer."""
    if request.config.getoption("--update-golden"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    kept = path.read_text(encoding="utf-8") if path.exists() else ""
    assert text == kept, f"{path} is not current; run this test with --update-golden and look"

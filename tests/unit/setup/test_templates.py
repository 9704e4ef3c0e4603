"""The personalities that are shipped."""

from pathlib import Path

import pytest

import build_pyz
from nanoclaw.errors import ConfigError
from nanoclaw.paths import HostPaths
from setup import templates

NAMES = ["assistant", "coder", "family", "researcher", "writer"]


def test_the_shipped_templates_are_these() -> None:
    assert [item.name for item in templates.all_templates()] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_template_is_short_and_names_agent_and_owner(name: str) -> None:
    found = templates.get(name)

    text = found.render("Zed", "Ann\nEvil")

    assert "# Zed\n" in text
    assert "Ann Evil" in text, "a line break cannot begin a heading of its own"
    assert "{" not in text
    assert text.endswith("name them here.")
    assert len(found.text.splitlines()) <= 40
    assert len(found.summary) <= 66, "fits a terminal beside its name"


def test_unknown_template_is_refused_with_the_list() -> None:
    with pytest.raises(ConfigError, match="assistant, coder, family"):
        templates.get("pirate")


def test_shared_memory_is_made_once_and_never_changed(tmp_path: Path) -> None:
    paths = HostPaths(tmp_path)
    file = templates.ensure_shared_memory(paths)
    assert "For all agents" in file.read_text()
    file.write_text("mine")

    templates.ensure_shared_memory(paths)

    assert file.read_text() == "mine"
    assert file.parent == paths.groups / "global"


def test_the_single_file_holds_the_templates() -> None:
    packed = {name for name, _ in build_pyz.own_files()}

    assert {f"groups/{name}/CLAUDE.md" for name in (*NAMES, "global")} <= packed
    assert {f"groups/{name}/template.toml" for name in NAMES} <= packed

from dataclasses import replace
from pathlib import Path

import pytest

from contract.clock import utc_now
from contract.config import McpServer
from nanoclaw.containers.instructions import (
    GENERATED,
    compose,
    content_folder,
    write_composition,
)
from nanoclaw.model import CliScope, ContainerConfig

CONFIG = ContainerConfig("ag-1", utc_now())


@pytest.fixture
def content(tmp_path: Path) -> Path:
    folder = tmp_path / "content"
    for name, text in {
        "CLAUDE.md": "base",
        "modules/core.md": "core",
        "modules/cli.md": "ncl",
        "skills/net/SKILL.md": "net",
        "skills/net/instructions.md": "always net",
        "skills/other/SKILL.md": "other",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_composed_file_imports_the_base_and_the_fragments_by_name(content: Path) -> None:
    config = replace(CONFIG, mcp_servers={"rss": McpServer(command="x", instructions="read it")})

    made = compose(config, content)

    assert made.text == (
        f"{GENERATED}\n\n@/app/CLAUDE.md\n@./fragments/mcp-rss.md\n@./fragments/module-cli.md\n"
        "@./fragments/module-core.md\n@./fragments/skill-net.md\n"
    )
    assert made.fragments["mcp-rss.md"] == "## Server `rss`\n\nread it\n"
    assert made.fragments["skill-net.md"] == "always net"
    assert compose(config, content) == made


def test_agent_without_ncl_is_not_told_of_it(content: Path) -> None:
    made = compose(replace(CONFIG, cli_scope=CliScope.DISABLED), content)

    assert "module-cli.md" not in made.fragments
    assert "cli" not in made.text


@pytest.mark.parametrize(
    ("skills", "told"),
    [(None, True), (("net",), True), (("other",), False), ((), False)],
)
def test_only_selected_skills_speak_to_every_agent(
    content: Path, skills: tuple[str, ...] | None, told: bool
) -> None:
    made = compose(replace(CONFIG, skills=skills), content)

    assert ("skill-net.md" in made.fragments) is told


def test_name_of_a_server_cannot_lead_out_of_the_folder(content: Path) -> None:
    servers = {
        name: McpServer(command="x", instructions=name)
        for name in ("../../evil", "a b", "a/b", "A-b", "nanoclaw", "x" * 300)
    }

    made = compose(replace(CONFIG, mcp_servers=servers), content)

    names = [name for name in made.fragments if name.startswith("mcp-")]
    assert len(names) == len({name.lower() for name in names}) == 5
    assert all("/" not in name and len(name) < 80 for name in names)


def test_servers_without_instructions_have_no_fragment(content: Path) -> None:
    servers = {"a": McpServer(command="x"), "b": McpServer(command="x", instructions="  \n")}

    made = compose(replace(CONFIG, mcp_servers=servers), content)

    assert not any(name.startswith("mcp-") for name in made.fragments)


def test_fragments_that_are_no_longer_wanted_go_away(content: Path, tmp_path: Path) -> None:
    write_composition(tmp_path, compose(CONFIG, content))
    (tmp_path / "fragments" / "mcp-old.md").write_text("old")

    write_composition(tmp_path, compose(replace(CONFIG, cli_scope=CliScope.DISABLED), content))

    left = {path.name for path in (tmp_path / "fragments").iterdir()}
    assert left == {"module-core.md", "skill-net.md"}


def test_program_without_its_texts_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="texts of the tools"):
        compose(CONFIG, tmp_path)


def test_all_modules_are_shipped() -> None:
    made = compose(CONFIG, content_folder())

    assert {name for name in made.fragments if name.startswith("module-")} == {
        f"module-{name}.md"
        for name in ("core", "scheduling", "interactive", "self-mod", "agents", "cli")
    }
    assert "skill-network-access.md" in made.fragments

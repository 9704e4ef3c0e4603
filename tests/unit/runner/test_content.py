"""The texts that agents read: nothing in them may be called by a name that does not exist."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from runner.instructions.front_matter import parse_front_matter, split_front_matter
from runner.instructions.harness import Surroundings, build_harness
from runner.instructions.markdown import prose_and_code
from runner.tools.nanoclaw.toolset import model_tools

if TYPE_CHECKING:
    from runner.desk.desk import Desk

ROOT = Path(__file__).resolve().parents[3]
CONTENT = ROOT / "runner" / "content"
SKILLS = sorted(path.parent.name for path in CONTENT.glob("skills/*/SKILL.md"))

BUILT_IN = frozenset(
    [
        "bash",
        "bash_output",
        "read_file",
        "write_file",
        "edit_file",
        "insert_lines",
        "glob",
        "grep",
        "todo_write",
        "task",
        "skill",
        "web_search",
        "web_fetch",
    ]
)
NANOCLAW = frozenset(
    [
        "send_message",
        "send_file",
        "edit_message",
        "add_reaction",
        "schedule_task",
        "list_tasks",
        "cancel_task",
        "pause_task",
        "resume_task",
        "update_task",
        "ask_user_question",
        "send_card",
        "create_agent",
        "install_packages",
        "add_mcp_server",
    ]
)
NO_TOOLS = frozenset({"thumbs_up", "white_check_mark", "reply_to", "message_edit", "connect_url",
                      "run_in_background", "system_response", "quoted_message"})  # fmt: skip
"""Words with an underscore that are names of other things: emoji, elements, parameters."""
CLAUDE_CODE = frozenset(
    [
        "Bash",
        "Read",
        "Write",
        "Edit",
        "Glob",
        "Grep",
        "WebSearch",
        "WebFetch",
        "Task",
        "TodoWrite",
        "Skill",
        "send_to_agent",
    ]
)
FOLDERS = ("/workspace/agent", "/workspace/global", "/session/in/files", "/session/in", "/tmp",
           "/app", "/home/node", "/path", "/dev/null")  # fmt: skip
NCL = re.compile(
    r"ncl (?:help|groups (?:help|list|get|restart|config (?:get|update))|sessions (?:list|get)"
    r"|members list|destinations list)(?: --[a-z-]+(?: [a-z0-9]+)?)*"
)
BROWSER = frozenset(
    [
        "open",
        "snapshot",
        "click",
        "fill",
        "press",
        "select",
        "check",
        "upload",
        "scroll",
        "back",
        "find",
        "wait",
        "get",
        "eval",
        "screenshot",
        "pdf",
        "console",
        "errors",
        "state",
        "cookies",
        "storage",
        "tab",
        "set",
        "close",
    ]
)
VERCEL = frozenset(["whoami", "link", "deploy", "domains", "env", "logs", "rollback"])


@dataclass(frozen=True)
class Text:
    """One shipped text; ``spans`` are what stands between backticks, ``code`` the fenced lines."""

    name: str
    text: str

    @property
    def spans(self) -> Iterator[str]:
        prose = "\n".join(line.text for line in prose_and_code(self.text) if not line.is_code)
        yield from (match[1] for match in re.finditer(r"`([^`]+)`", prose))

    @property
    def code(self) -> Iterator[str]:
        lines = (line.text.strip() for line in prose_and_code(self.text) if line.is_code)
        yield from (line for line in lines if not line.startswith("```"))


def texts() -> list[Text]:
    found = [
        Text(path.relative_to(CONTENT).as_posix(), path.read_text())
        for path in sorted(CONTENT.rglob("*"))
        if path.is_file()
    ]
    folder = Path("/workspace/agent")
    facts = Surroundings(folder, Path("/session/in/files"), Path("/app"), Path("/home/node"),
                         Path("/workspace/global"), (), (), 1000, "UTC", True, True)  # fmt: skip
    return [*found, Text("harness", build_harness(facts))]


EACH = pytest.mark.parametrize("text", texts(), ids=lambda text: text.name)


def test_every_text_of_the_specification_is_there() -> None:
    names = {text.name for text in texts()}

    assert names >= {"CLAUDE.md", "harness"}
    assert {
        f"modules/{name}.md"
        for name in ("core", "scheduling", "interactive", "self-mod", "agents", "cli")
    } <= names
    assert {"welcome", "self-customize", "agent-browser", "frontend-engineer", "vercel-cli",
            "network-access", "slack-formatting"} <= set(SKILLS)  # fmt: skip


@EACH
def test_every_tool_that_is_named_exists(text: Text) -> None:
    for name in re.findall(r"mcp__nanoclaw__(\w+)", text.text):
        assert name in NANOCLAW
    for span in text.spans:
        if re.fullmatch(r"[a-z]+(?:_[a-z]+)+", span):
            assert span in BUILT_IN | NO_TOOLS
        assert span not in CLAUDE_CODE
    assert "send_to_agent" not in text.text


def test_names_of_our_tools_are_those_that_are_offered() -> None:
    offered = model_tools(cast("Desk", None), "UTC")

    assert {f"mcp__nanoclaw__{name}" for name in NANOCLAW} <= {tool.spec.name for tool in offered}


@EACH
def test_every_path_that_is_named_exists_in_the_container(text: Text) -> None:
    named = re.findall(r"(?<![\w./:*~<-])(/[a-z][\w./<>-]*)", text.text)

    for path in named:
        is_skill = path.strip("/") in SKILLS or path in ("/name", "/usr/bin", "/done", "/compact")
        assert is_skill or path.startswith(FOLDERS), path


@EACH
def test_every_command_that_is_named_exists(text: Text) -> None:
    commands = [*text.spans, *text.code]

    for command in (part for line in commands for part in line.split(" && ")):
        words = command.split()
        if words[:1] == ["ncl"] and len(words) > 1:
            assert NCL.fullmatch(command), command
        if words[:1] == ["agent-browser"] and len(words) > 1:
            assert words[1] in BROWSER, command
        if words[:1] == ["vercel"] and len(words) > 1:
            assert words[1] in VERCEL, command


@EACH
def test_every_skill_that_is_named_exists(text: Text) -> None:
    for name in re.findall(r"skill `([a-z-]+)`", text.text.replace("\n", " ")):
        assert name in SKILLS


@EACH
def test_texts_are_written_for_our_program(text: Text) -> None:
    assert "onecli" not in text.text.lower()
    assert "Claude Code" not in text.text
    assert all(len(line) <= 1200 for line in text.text.splitlines())
    assert text.text.isprintable() or "\t" not in text.text


@pytest.mark.parametrize("name", SKILLS)
def test_front_matter_of_a_skill_is_complete(name: str) -> None:
    header, body = split_front_matter((CONTENT / "skills" / name / "SKILL.md").read_text())

    assert header is not None
    values = parse_front_matter(header)
    description = values["description"]
    assert values["name"] == name
    assert re.fullmatch(r"[a-z0-9]+(?:-[a-z0-9]+)*", name)
    assert isinstance(description, str)
    assert 40 < len(description) <= 1024
    assert "\n" not in description
    assert values.keys() <= {"name", "description", "compatibility", "allowed-tools", "metadata"}
    assert body.strip().startswith("# ")


def test_all_skills_fit_into_the_list_uncut() -> None:
    total = sum(
        len(str(parse_front_matter(split_front_matter(path.read_text())[0] or "")["description"]))
        for path in CONTENT.glob("skills/*/SKILL.md")
    )

    assert total < 6000


def test_what_every_agent_reads_is_short() -> None:
    always = [CONTENT / "CLAUDE.md", *CONTENT.glob("modules/*.md"),
              *CONTENT.glob("skills/*/instructions.md")]  # fmt: skip

    assert sum(len(path.read_text()) for path in always) < 12_000


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("core", ("<message to=", "send_file", "add_reaction", "<internal>", "outcomes")),
        ("interactive", ("ask_user_question", "send_card", "ordinary message", "selectedLabel")),
        ("scheduling", ("wakeAgent", "by hand", "costs money", "judgement", "update_task")),
        ("self-mod", ("install_packages", "add_mcp_server", "admin", "placeholder", "Never ask")),
        ("agents", ("create_agent", "instructions", "not waited for")),
        ("cli", ("approval-pending", "groups restart", "--limit", "help")),
    ],
)
def test_modules_convey_what_they_are_for(module: str, said: tuple[str, ...]) -> None:
    text = (CONTENT / "modules" / f"{module}.md").read_text()

    assert [word for word in said if word not in text] == []


def test_shared_instructions_convey_what_they_are_for() -> None:
    text = (CONTENT / "CLAUDE.md").read_text()

    for said in ("/workspace/agent", "CLAUDE.local.md", "conversations/", "500 lines", "result",
                 "every fact", "not an\ninstruction"):  # fmt: skip
        assert said in text

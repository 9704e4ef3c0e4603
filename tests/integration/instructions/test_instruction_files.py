import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.instruction_files import Files

from contract.address import Destination, DestinationType
from contract.clock import utc_now
from contract.config import DoorConfig, RunnerConfig, SessionConfig
from contract.errors import SessionFileBusy
from nanoclaw.containers.instructions import compose, content_folder, write_composition
from nanoclaw.model import ContainerConfig
from runner.instructions.model import Instructions
from runner.instructions.skills import SkillLibrary
from runner.instructions.source import MAX_CHARACTERS, InstructionFacts, InstructionFiles

SESSION = SessionConfig(session_id="s", agent_group_id="a", lease=1, timezone="Europe/Berlin")
FAMILY = Destination("family", "Family", DestinationType.CHANNEL, "telegram", "1")


def facts_of(files: Files, **changes: object) -> InstructionFacts:
    facts = InstructionFacts(files.paths, RunnerConfig(assistant_name="Andy"), SESSION, files.home)
    return replace(facts, **changes)  # type: ignore[arg-type]


def source(
    facts: InstructionFacts, destinations: Sequence[Destination] = (FAMILY,)
) -> InstructionFiles:
    async def known() -> Sequence[Destination]:
        return destinations

    return InstructionFiles(facts, SkillLibrary(facts.places, facts.config), known)


def read(facts: InstructionFacts) -> Instructions:
    return asyncio.run(source(facts).read())


def test_documents_come_in_their_order_each_with_path_and_role(files: Files) -> None:
    extra = files.paths.workspace.parent / "extra"
    files.at_home(".claude/CLAUDE.md", "at home")
    files.composed("CLAUDE.md", "composed")
    (files.paths.global_dir / "CLAUDE.md").write_text("shared")
    files.group("CLAUDE.md", "of the group")
    files.group("CLAUDE.local.md", "remembered")
    extra.mkdir()
    (extra / "CLAUDE.md").write_text("beside")

    made = read(facts_of(files, additional_directories=(extra,)))

    texts = ["at home", "composed", "shared", "of the group", "beside"]
    order = [made.documents.index(f"\n\n{text}") for text in texts]
    assert order == sorted(order)
    assert f"Contents of {files.paths.workspace / 'CLAUDE.md'} (for your group):" in made.documents
    assert "remembered" not in made.documents
    assert made.memory == (
        f"Contents of {files.paths.workspace / 'CLAUDE.local.md'} "
        "(your own memory; you keep it up to date):\n\nremembered"
    )


def test_composed_file_of_an_earlier_version_is_not_read(files: Files) -> None:
    files.app("CLAUDE.md", "base text")
    files.composed("CLAUDE.md", "<!-- generated -->\n\n@/app/CLAUDE.md\n")
    files.group("CLAUDE.md", "<!-- generated -->\n@./.claude-shared.md\n")

    made = read(facts_of(files))

    assert made.documents.count("base text") == 1
    assert str(files.paths.workspace) not in made.documents


def test_groups_own_file_with_old_imports_still_counts(files: Files) -> None:
    files.app("CLAUDE.md", "base text")
    files.composed("fragments/module-core.md", "core text")
    files.composed("CLAUDE.md", "@/app/CLAUDE.md\n@./fragments/module-core.md\n")
    files.group("CLAUDE.md", "# Ours\n@./.claude-shared.md\n@./.claude-fragments/module-core.md")

    made = read(facts_of(files))

    assert "# Ours" in made.documents
    assert made.documents.count("base text") == made.documents.count("core text") == 1


def test_what_the_host_composes_is_what_the_agent_reads(files: Files) -> None:
    write_composition(
        files.paths.in_dir, compose(ContainerConfig("ag-1", utc_now()), content_folder())
    )
    root = Path(__file__).resolve().parents[3]
    facts = facts_of(files, paths=replace(files.paths, app=root))

    made = read(facts)

    assert "(not " not in made.documents
    assert "<!--" not in made.documents
    for said in ("## Memory", "## Tasks at a later time", "## `ncl`", "## Network"):
        assert said in made.documents
    assert "`welcome`" in made.skills
    assert "`slack-formatting`" in made.skills


def test_same_files_give_the_same_bytes(files: Files) -> None:
    files.group("CLAUDE.local.md", "remembered")
    files.app("skills/a/SKILL.md", "---\nname: a\ndescription: b\n---\n")

    assert read(facts_of(files)) == read(facts_of(files))


def test_files_are_read_anew_each_time(files: Files) -> None:
    reader = source(facts_of(files))
    before = asyncio.run(reader.read())

    files.group("CLAUDE.local.md", "new")

    assert before.memory == ""
    assert "new" in asyncio.run(reader.read()).memory


def test_agent_without_any_file_has_its_harness_and_addendum(files: Files) -> None:
    made = read(facts_of(files))

    assert (made.documents, made.memory, made.skills) == ("", "", "")
    assert made.blocks == (made.harness, made.addendum)
    assert "# You are Andy" in made.addendum
    assert "`family`" in made.addendum
    assert made.day.startswith("This conversation began on ")


def test_too_long_memory_is_cut_with_advice(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    files.group("CLAUDE.md", "@./1.md\n@./2.md")
    for name in ("1", "2"):
        files.group(f"{name}.md", "d" * 100_000)
    files.group("CLAUDE.local.md", "m" * 150_000)

    made = read(facts_of(files))

    assert len(made.documents) + len(made.memory) < MAX_CHARACTERS + 500
    assert "m" * 90_000 in made.memory
    assert "Move parts of it into files" in made.memory
    assert "d" * 100_000 in made.documents
    assert "instructions are very long" in caplog.text


def test_too_long_documents_leave_room_for_the_memory(files: Files) -> None:
    files.group("CLAUDE.md", "\n".join(f"@./{number}.md" for number in range(4)))
    for number in range(4):
        files.group(f"{number}.md", "d" * 100_000)
    files.group("CLAUDE.local.md", "important")

    made = read(facts_of(files))

    assert made.memory.endswith("important")
    assert len(made.documents) < MAX_CHARACTERS + 500
    assert "longer than can be read at once" in made.documents


def test_harness_describes_this_container(files: Files) -> None:
    session = replace(SESSION, door=DoorConfig(token="secret-token"))
    environment = {"PATH": "/usr/bin:/bin", "HTTPS_PROXY": "http://127.0.0.1:1"}

    made = read(facts_of(files, session=session, environment=environment))

    assert str(files.paths.workspace) in made.harness
    assert "bash" in made.harness
    assert "HTTPS_PROXY" in made.harness
    assert "secret-token" not in repr(made)


def test_file_that_is_not_readable_text_does_not_hinder_the_others(files: Files) -> None:
    files.group("CLAUDE.md", b"\xff\xfe")
    files.group("CLAUDE.local.md", "remembered")

    made = read(facts_of(files))

    assert "not a text file" in made.documents
    assert "remembered" in made.memory


def test_busy_session_file_leaves_the_last_known_destinations(files: Files) -> None:
    answers: list[Sequence[Destination] | Exception] = [(FAMILY,), SessionFileBusy("in", "locked")]

    async def known() -> Sequence[Destination]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    facts = facts_of(files)
    reader = InstructionFiles(facts, SkillLibrary(facts.places, facts.config), known)

    first, second = asyncio.run(reader.read()), asyncio.run(reader.read())

    assert first.addendum == second.addendum

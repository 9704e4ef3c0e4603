import importlib.util
from pathlib import Path

import pytest

from nanoclaw.containers.payload import compile_for_host, remove_unused, unpack
from nanoclaw.paths import HostPaths


@pytest.fixture
def paths(tmp_path: Path) -> HostPaths:
    made = HostPaths(tmp_path / "home")
    made.ensure()
    return made


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    for name, text in {
        "contract/__init__.py": "",
        "runner/__init__.py": "",
        "runner/deep/tool.py": "X = 1\n",
        "runner/__pycache__/old.pyc": "junk",
        "runner/content/CLAUDE.md": "base",
        "runner/content/skills/one/SKILL.md": "skill",
        "runner/content/modules/core.md": "core",
        "other/secret.py": "no",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_only_the_two_packages_are_unpacked(paths: HostPaths, source: Path) -> None:
    payload = unpack(paths, source)

    found = {p.relative_to(payload.folder).as_posix() for p in payload.folder.rglob("*.py*")}
    assert found == {"contract/__init__.py", "runner/__init__.py", "runner/deep/tool.py"}


def test_texts_are_found_by_the_names_of_earlier_versions(paths: HostPaths, source: Path) -> None:
    payload = unpack(paths, source)

    assert (payload.folder / "CLAUDE.md").read_text() == "base"
    assert (payload.folder / "skills/one/SKILL.md").read_text() == "skill"
    assert (payload.folder / "runner/content/modules/core.md").read_text() == "core"
    assert not (payload.folder / "modules").exists()


def test_our_own_texts_are_part_of_the_payload(paths: HostPaths) -> None:
    payload = unpack(paths)

    assert "Memory" in (payload.folder / "CLAUDE.md").read_text()
    assert (payload.folder / "skills/welcome/SKILL.md").exists()


def test_unpacking_twice_gives_the_same_folder_untouched(paths: HostPaths, source: Path) -> None:
    first = unpack(paths, source)
    (first.folder / "mark").touch()

    second = unpack(paths, source)

    assert second == first
    assert (second.folder / "mark").exists()


def test_changed_source_is_another_version(paths: HostPaths, source: Path) -> None:
    first = unpack(paths, source)
    (source / "runner/deep/tool.py").write_text("X = 2\n")

    second = unpack(paths, source)

    assert second.version != first.version
    assert (first.folder / "runner/deep/tool.py").read_text() == "X = 1\n"


def test_other_users_can_read_it_whatever_the_umask(paths: HostPaths, source: Path) -> None:
    payload = unpack(paths, source)

    modes = {p.stat().st_mode & 0o777 for p in payload.folder.rglob("*") if p.is_file()}
    folders = {p.stat().st_mode & 0o777 for p in [payload.folder, *payload.folder.rglob("*/")]}
    assert modes == {0o644}
    assert folders == {0o755}


def test_our_own_packages_are_found(paths: HostPaths) -> None:
    payload = unpack(paths)

    assert (payload.folder / "runner/__main__.py").is_file()
    assert (payload.folder / "contract/layout.py").is_file()


def test_unused_versions_and_leftovers_are_removed(paths: HostPaths, source: Path) -> None:
    current = unpack(paths, source)
    old, used, half = (paths.runtime / name for name in ("old", "used", ".new-abc"))
    for folder in (old, used, half):
        folder.mkdir()

    remove_unused(paths, {current.version, "used"})

    assert {p.name for p in paths.runtime.iterdir()} == {current.version, "used"}


def test_compiled_code_is_believed_without_looking_at_its_source(
    paths: HostPaths, source: Path
) -> None:
    payload = unpack(paths, source)

    compile_for_host(payload)

    compiled = importlib.util.cache_from_source(str(payload.folder / "runner/deep/tool.py"))
    flags = Path(compiled).read_bytes()[4:8]
    assert flags == b"\x01\0\0\0", "hash-based and unchecked"


def test_compilation_is_remembered_per_image(paths: HostPaths, source: Path) -> None:
    payload = unpack(paths, source)
    payload.note_compiled_for("sha256:" + "a" * 64)

    assert payload.is_compiled_for("sha256:" + "a" * 64)
    assert not payload.is_compiled_for("sha256:" + "b" * 64)

import io
import os
import stat
import subprocess
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from helpers.waiting import wait_until

import build_pyz

Run = Callable[..., subprocess.CompletedProcess[str]]

PROBE = b"""
import multiprocessing
import os
import sys

def child(queue):
    import nanoclaw.part
    queue.put((nanoclaw.part.WORD, os.getpid()))

def main():
    for method in ("spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        queue = context.SimpleQueue()
        process = context.Process(target=child, args=(queue,))
        process.start()
        word, pid = queue.get()
        process.join()
        print(method, word, pid != os.getpid(), process.exitcode)
    return 0
"""


def copies_in(folder: Path) -> list[Path]:
    return sorted(folder.rglob("nanoclaw-" + "?" * 16))


def test_two_builds_give_the_same_bytes(pyz: Path, tmp_path: Path) -> None:
    again = tmp_path / "elsewhere" / "again.pyz"
    before = os.umask(0o077)
    try:
        assert build_pyz.main(["--output", str(again)]) == 0
    finally:
        os.umask(before)

    assert again.read_bytes() == pyz.read_bytes()


def test_the_file_is_small_and_executable(pyz: Path) -> None:
    assert pyz.stat().st_size <= 3 * 1024 * 1024
    assert pyz.stat().st_mode & stat.S_IXUSR


def test_the_file_carries_what_the_agent_image_and_the_runner_need(pyz: Path) -> None:
    with zipfile.ZipFile(pyz) as outer:
        packed = io.BytesIO(outer.read(build_pyz.PACKED))
    with zipfile.ZipFile(packed) as archive:
        names = set(archive.namelist())

    for wanted in ("Dockerfile", "lock/runner.txt", "contract/version.py", "runner/__main__.py"):
        assert f"site-packages/{wanted}" in names
    assert not [name for name in names if name.endswith((".so", ".pyd", ".pyc"))]


def test_the_file_carries_what_the_dockerfile_copies() -> None:
    lines = (build_pyz.ROOT / "Dockerfile").read_text().splitlines()
    copied = {word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1]}
    required = {word for word in copied if "[" not in word}  # a glob may match nothing

    assert required <= set(build_pyz.IMAGE_FILES)


def test_version_runs_from_an_empty_folder(pyz: Path, run_file: Run) -> None:
    answer = run_file(pyz, "--version")

    assert answer.stdout.startswith("nanoclaw ")
    assert (answer.stderr, answer.returncode) == ("", 0)


def test_a_second_start_uses_the_copy_of_the_first(
    pyz: Path, run_file: Run, tmp_path: Path
) -> None:
    run_file(pyz, "--version")
    (copy,) = copies_in(tmp_path / "home")
    (copy / "nanoclaw" / "version.py").write_text('VERSION = "from the copy"\n')

    answer = run_file(pyz, "--version")

    assert answer.stdout == "nanoclaw from the copy\n"


def test_starts_at_the_same_time_share_one_copy(pyz: Path, run_file: Run, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: run_file(pyz, "--version"), range(4)))

    assert [answer.returncode for answer in answers] == [0] * 4
    assert len(list((tmp_path / "home" / ".cache" / "nanoclaw").iterdir())) == 1


@pytest.mark.parametrize("words", [[], ["--home", "{given}"], ["--home={given}"]])
def test_home_that_cannot_be_written_does_not_stop_the_start(
    pyz: Path, run_file: Run, tmp_path: Path, words: list[str]
) -> None:
    given = tmp_path / "given"
    place = given if words else tmp_path / "scratch"

    answer = run_file(pyz, "--version", *(w.format(given=given) for w in words), HOME="/proc")

    assert answer.stdout.startswith("nanoclaw ")
    assert copies_in(place)


def test_a_copy_with_holes_in_the_temporary_folder_is_made_anew(
    pyz: Path, run_file: Run, tmp_path: Path
) -> None:
    run_file(pyz, "--version", HOME="/proc")
    (copy,) = copies_in(tmp_path / "scratch")
    (copy / "nanoclaw" / "version.py").unlink()

    answer = run_file(pyz, "--version", HOME="/proc")

    assert answer.stdout.startswith("nanoclaw ")
    assert (copy / "nanoclaw" / "version.py").exists()


def test_a_copy_that_others_can_write_to_is_not_run(
    pyz: Path, run_file: Run, tmp_path: Path
) -> None:
    run_file(pyz, "--version")
    (copy,) = copies_in(tmp_path / "home")
    (copy / "nanoclaw" / "version.py").write_text('VERSION = "planted"\n')
    copy.chmod(0o777)

    answer = run_file(pyz, "--version")

    assert answer.stdout.startswith("nanoclaw ")
    assert "planted" not in answer.stdout


def test_no_place_to_unpack_is_one_clear_line(pyz: Path, run_file: Run) -> None:
    answer = run_file(pyz, "--version", HOME="/proc", TMPDIR="/proc")

    assert answer.returncode == 78
    assert "set XDG_CACHE_HOME to a writable folder" in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_processes_can_be_started_inside_the_file(run_file: Run, tmp_path: Path) -> None:
    archive = tmp_path / "probe.pyz"
    files = {
        "nanoclaw/__init__.py": b"",
        "nanoclaw/__main__.py": PROBE,
        "nanoclaw/part.py": b"WORD = 'here'\n",
    }
    archive.write_bytes(build_pyz.archive(files))

    answer = run_file(archive)

    assert answer.stdout == "spawn here True 0\nforkserver here True 0\n", answer.stderr


def test_compiled_code_is_refused() -> None:
    with pytest.raises(build_pyz.BuildError, match=r"fast\.so"):
        build_pyz.check_pure({"package/fast.so": b""})
    with pytest.raises(build_pyz.BuildError, match="hidden"):
        build_pyz.check_pure({"package/hidden": b"\x7fELF\x02"})


def test_demo_runs_from_the_file_alone_and_leaves_nothing_running(pyz: Path, run_file: Run) -> None:
    answer = run_file(pyz, "demo", "--runtime", "process")

    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip()
    wait_until(lambda: not processes_naming(pyz))


def processes_naming(path: Path) -> list[str]:
    """Command lines of running processes in which the path appears (Linux)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().decode(errors="replace")
        except OSError:
            continue  # it has just ended
        if str(path) in words:
            found.append(words)
    return found

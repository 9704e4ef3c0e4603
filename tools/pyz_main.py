"""First code that runs in nanoclaw.pyz: finds or makes its unpacked copy and hands over to it.

``build_pyz.py`` stores this file as ``__main__.py`` of the archive and fills in BUILD and FILES.
Runs at every start, so it imports next to nothing and costs one ``stat`` once the copy exists.
A copy is complete or absent, because it is renamed into place; it belongs to the user who runs it
and nobody else can write to it (docs/adr/0011-the-single-file.md).
"""

import os
import stat
import sys

BUILD = "@BUILD@"
FILES = "@FILES@"
OLDEST_PYTHON = (3, 11)
EXIT_CONFIG = 78
PACKED = "packages.zip"
PACKAGES = "site-packages"
PRIVATE = 0o700
WRITABLE_BY_OTHERS = 0o022


def start() -> None:
    if sys.version_info < OLDEST_PYTHON:
        found = ".".join(map(str, sys.version_info[:3]))
        raise _refusal(
            "needs Python 3.11 or newer, this is " + found + "; try: python3.12 " + sys.argv[0]
        )
    sys.path[0] = unpacked_copy()
    from nanoclaw.__main__ import main

    sys.exit(main())


def unpacked_copy() -> str:
    """Folder of our code; made on the first start in the first place where that works."""
    folders = [os.path.join(place, "nanoclaw-" + BUILD) for place in _places()]
    for folder in folders:
        if _is_ours(folder) and (folder is not folders[-1] or _is_whole(folder)):
            return folder
    problems = []
    for folder in folders:
        try:
            _unpack(folder)
        except OSError as error:
            problems.append(str(error))
        else:
            return folder
    raise _refusal(
        "cannot unpack itself; set XDG_CACHE_HOME to a writable folder. " + "; ".join(problems)
    )


def _places() -> list[str]:
    """The user's cache, the home folder of the installation, and last the temporary folder."""
    environment = os.environ
    cache = environment.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    places = [os.path.join(cache, "nanoclaw")]
    home = environment.get("NANOCLAW_HOME", "")
    for number, word in enumerate(sys.argv[1:], start=1):
        if word == "--home":
            home = "".join(sys.argv[number + 1 : number + 2])
        elif word.startswith("--home="):
            home = word[len("--home=") :]
    if home:
        places.append(os.path.join(os.path.expanduser(home), "cache"))
    places.append(os.path.join(environment.get("TMPDIR") or "/tmp", f"nanoclaw-{os.geteuid()}"))
    return [os.path.abspath(place) for place in places]


def _is_ours(folder: str) -> bool:
    try:
        found = os.lstat(folder)
    except OSError:
        return False
    mine = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    return mine and not found.st_mode & WRITABLE_BY_OTHERS


def _is_whole(folder: str) -> bool:
    """Temporary folders are tidied up file by file, so a copy there may have holes."""
    names = (name for _, _, files in os.walk(folder) for name in files)
    return sum(not name.endswith(".pyc") for name in names) == int(FILES)


def _unpack(folder: str) -> None:
    import compileall
    import io
    import shutil
    import tempfile
    import zipfile

    parent = os.path.dirname(folder)
    os.makedirs(parent, mode=PRIVATE, exist_ok=True)
    if not _is_ours(parent):
        raise PermissionError(parent + " belongs to somebody else or others can write to it")
    fresh = tempfile.mkdtemp(prefix=".new-", dir=parent)
    try:
        with zipfile.ZipFile(sys.argv[0]) as outer:
            packed = io.BytesIO(outer.read(PACKED))
        with zipfile.ZipFile(packed) as archive:
            archive.extractall(fresh)
        code = os.path.join(fresh, PACKAGES)
        os.chmod(code, PRIVATE)
        # ddir: a traceback names the place where the files will be, not where they are now.
        compileall.compile_dir(code, ddir=folder, quiet=2)
        if os.path.isdir(folder):  # not ours, or with holes; a start at the same time finds ours
            os.rename(folder, os.path.join(fresh, "old"))
        os.rename(code, folder)
    except OSError:
        if not _is_ours(folder):  # otherwise another start was faster, and its copy is as good
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _refusal(text: str) -> SystemExit:
    sys.stderr.write("nanoclaw: " + text + "\n")
    return SystemExit(EXIT_CONFIG)


if __name__ == "__main__":
    start()

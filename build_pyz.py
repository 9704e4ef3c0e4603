"""Builds nanoclaw.pyz: the whole program in one file, the same bytes at every build.

Run by ``make pyz``. Takes the locked host packages (pure Python only), our own packages, and the
files from which the agent image is built; refuses a shared object and an archive that is too large.
Prints the size and the hash. How the file starts stands in ``tools/pyz_main.py``; why it is made
this way in docs/adr/0011-the-single-file.md.
"""

import argparse
import hashlib
import io
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent
LOCK = ROOT / "lock" / "host.txt"
START = ROOT / "tools" / "pyz_main.py"
OUR_PACKAGES = ("contract", "nanoclaw", "runner", "setup", "migrate", "groups")
IMAGE_FILES = ("Dockerfile", "lock/runner.txt", "lock/tools.txt")
"""What the agent image is built from; found beside the packages, as in a checkout."""
EXTRA_LOCKS = ("lock/intercept.txt",)
"""What ``nanoclaw extras add`` fetches."""
PACKED = "packages.zip"
"""Opened by tools/pyz_main.py."""
MAX_BYTES = 3 * 1024 * 1024
MAX_TOTAL_FILES = 5000
EARLIEST_ZIP_TIME = 315532800
"""1980-01-01: the zip format knows nothing earlier."""
FILE_MODE = 0o100644
INSTALL_RECORDS = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"})
"""Notes of pip about this one installation; they say nothing in an archive."""
TZDATA_TABLES = frozenset({"tzdata.zi", "zone.tab", "zone1970.tab", "iso3166.tab", "leapseconds"})
"""The same zones once more as text, for programs that are not Python's zoneinfo."""
NATIVE_SUFFIXES = frozenset({".so", ".pyd", ".dylib", ".dll", ".a", ".exe"})
NATIVE_MAGIC = (b"\x7fELF", b"MZ\x90", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
"""First bytes of programs and libraries for Linux, Windows and macOS."""

Files = Mapping[str, bytes]


class BuildError(Exception):
    """Ends the build with one line."""


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Builds nanoclaw.pyz.")
    parser.add_argument("--output", type=Path, default=ROOT / "nanoclaw.pyz", metavar="FILE")
    output: Path = parser.parse_args(words).output
    try:
        content = build()
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_bytes(content)
        output.chmod(0o755)
    except BuildError as error:
        print(f"build_pyz: {error}", file=sys.stderr)
        return 1
    print(f"{output}  {len(content)} bytes  sha256 {hashlib.sha256(content).hexdigest()}")
    return 0


def build() -> bytes:
    """The archive's bytes. Raises BuildError when something must not or could not go in."""
    with tempfile.TemporaryDirectory() as folder:
        site_packages = Path(folder)
        install_locked(site_packages)
        files = dict(third_party_files(site_packages))
    files.update(own_files())
    check_pure(files)
    content = archive(files)
    if len(content) > MAX_BYTES:
        raise BuildError(f"the archive has {len(content)} bytes, more than {MAX_BYTES}")
    return content


def install_locked(folder: Path) -> None:
    """Has pip lay out the locked packages, only from wheels that hold no compiled code."""
    command = [sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    command += ["--target", str(folder), "--require-hashes", "--no-deps", "--no-compile"]
    command += ["--only-binary=:all:", "--platform=any", "--implementation=py", "--abi=none"]
    if subprocess.run([*command, "-r", str(LOCK)], check=False).returncode:
        raise BuildError(f"pip could not lay out the packages of {LOCK}; see above")


def third_party_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in files_below(folder):
        name = path.relative_to(folder)
        if is_wanted(name):
            yield name.as_posix(), path.read_bytes()


def is_wanted(name: Path) -> bool:
    """Programs, notes of pip, the libraries' own tests and doubled tables stay out."""
    package, *inside = name.parts
    if package == "bin" or "tests" in inside or name.name in INSTALL_RECORDS:
        return False
    return not (package == "tzdata" and name.name in TZDATA_TABLES)


def own_files() -> Iterator[tuple[str, bytes]]:
    for package in OUR_PACKAGES:
        for path in files_below(ROOT / package):
            yield path.relative_to(ROOT).as_posix(), path.read_bytes()
    for name in (*IMAGE_FILES, *EXTRA_LOCKS):
        try:
            yield name, (ROOT / name).read_bytes()
        except FileNotFoundError as error:
            raise BuildError(f"{name} is missing; the agent image is built from it") from error


def files_below(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path


def check_pure(files: Files) -> None:
    """One file for every platform, so nothing in it may be compiled for one."""
    for name, content in files.items():
        if PurePosixPath(name).suffix in NATIVE_SUFFIXES or content.startswith(NATIVE_MAGIC):
            raise BuildError(f"{name} is compiled code; pin a pure Python release of its package")
    if len(files) > MAX_TOTAL_FILES:
        raise BuildError(f"{len(files)} files; something was swept in that does not belong there")


def build_id(files: Files) -> str:
    """Names the unpacked copy, so that two builds never share one."""
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def archive(files: Files) -> bytes:
    """Sorted names, one time stamp, one mode: the bytes depend on the contents alone.

    The packages are one stored archive inside, compressed as a whole: a quarter smaller than file
    by file, and they are unpacked at once anyway.
    """
    start = START.read_text().replace("@BUILD@", build_id(files))
    packages = zip_of({f"site-packages/{name}": text for name, text in files.items()}, solid=True)
    stored = {
        "__main__.py": start.replace("@FILES@", str(len(files))).encode(),
        PACKED: packages,
    }
    return zip_of(stored, prefix=b"#!/usr/bin/env python3\n")


def zip_of(files: Files, *, solid: bool = False, prefix: bytes = b"") -> bytes:
    """A zip archive; ``solid``: uncompressed, to be compressed in one piece with its outer one."""
    seconds = max(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), EARLIEST_ZIP_TIME)
    moment = time.gmtime(seconds)
    method = zipfile.ZIP_STORED if solid else zipfile.ZIP_DEFLATED
    target = io.BytesIO(prefix)
    target.seek(0, io.SEEK_END)
    with zipfile.ZipFile(target, "w") as packed:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, moment[:6])
            entry.external_attr = FILE_MODE << 16
            entry.create_system = 3
            packed.writestr(entry, content, method, 9)
    return target.getvalue()


if __name__ == "__main__":
    sys.exit(main())

"""The folders that instructions and skills are read from, empty, with a short way to fill them."""

from dataclasses import dataclass
from pathlib import Path

from contract.layout import RunnerPaths
from runner.instructions.places import Places


@dataclass(frozen=True)
class Files:
    paths: RunnerPaths
    home: Path

    @property
    def places(self) -> Places:
        return Places(self.paths, self.home)

    def group(self, name: str, text: str | bytes) -> Path:
        return write(self.paths.workspace / name, text)

    def composed(self, name: str, text: str) -> Path:
        return write(self.paths.in_dir / name, text)

    def app(self, name: str, text: str) -> Path:
        return write(self.paths.app / name, text)

    def at_home(self, name: str, text: str) -> Path:
        return write(self.home / name, text)


def make_files(root: Path) -> Files:
    names = ("in", "out", "group", "app", "global", "home")
    folders = {name: root / name for name in names}
    for folder in folders.values():
        folder.mkdir()
    paths = RunnerPaths(
        in_dir=folders["in"],
        out_dir=folders["out"],
        workspace=folders["group"],
        app=folders["app"],
        global_dir=folders["global"],
    )
    return Files(paths, folders["home"])


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path

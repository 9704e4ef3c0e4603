"""Packages that an agent group has beyond the image of all: which names are allowed, and sums.

Pure. Checked when an agent asks, when an approved request is carried out, and once more before a
build (H-257, H-258). Names only: a version, an option or an address is never part of one.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from nanoclaw.model import ContainerConfig

MAX_PER_REQUEST = 20
MAX_PER_GROUP = 200
MAX_NAME = 214

_SEGMENT = r"[a-z0-9][a-z0-9._-]*"
_FORMS = {
    # A last minus would remove a package instead, see apt-get(8).
    "apt": re.compile(r"[a-z0-9](?:[a-z0-9.+_-]*[a-z0-9.+_])?", re.ASCII),
    "npm": re.compile(rf"(?:@{_SEGMENT}/)?{_SEGMENT}", re.ASCII),
    "pip": re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", re.ASCII),
}
_PIP_SEPARATORS = re.compile(r"[-_.]+")


@dataclass(frozen=True, slots=True)
class PackageSet:
    """Sorted names without repetitions when made by ``of``."""

    apt: tuple[str, ...] = ()
    npm: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, apt: Iterable[str] = (), npm: Iterable[str] = (), pip: Iterable[str] = ()
    ) -> "PackageSet":
        """In the order that makes equal sets equal; pip's names in their one form."""
        spelled = {_PIP_SEPARATORS.sub("-", name).lower() for name in pip}
        return cls(tuple(sorted(set(apt))), tuple(sorted(set(npm))), tuple(sorted(spelled)))

    def __len__(self) -> int:
        return len(self.apt) + len(self.npm) + len(self.pip)

    def with_more(self, other: "PackageSet") -> "PackageSet":
        return PackageSet.of(
            (*self.apt, *other.apt), (*self.npm, *other.npm), (*self.pip, *other.pip)
        )

    def covers(self, other: "PackageSet") -> bool:
        """Whether everything of ``other`` is in here."""
        return self.with_more(other) == self

    def by_kind(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        return (("apt", self.apt), ("npm", self.npm), ("pip", self.pip))

    def plain(self) -> dict[str, object]:
        """As a JSON object."""
        return {kind: list(names) for kind, names in self.by_kind()}


def problem_of(packages: PackageSet, most: int = MAX_PER_GROUP) -> str | None:
    """Why these cannot be installed, in words for the agent; None: they can."""
    if len(packages) > most:
        return f"{len(packages)} packages are more than the {most} that are allowed"
    for kind, names in packages.by_kind():
        for name in names:
            if len(name) > MAX_NAME or not _FORMS[kind].fullmatch(name):
                return f"{name[:MAX_NAME]!r} is no name of a package for {kind}"
    return None


def listed(packages: PackageSet) -> str:
    """``apt: jq, ripgrep; npm: cowsay``."""
    return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in packages.by_kind() if names)


def stored_packages(config: ContainerConfig) -> PackageSet:
    """What the group has."""
    return PackageSet.of(config.packages_apt, config.packages_npm, config.packages_pip)

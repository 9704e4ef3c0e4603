"""What ignore files say about a path: ``.gitignore`` and those of ripgrep, as ripgrep reads them.

Used by ``walking`` where there is no ripgrep. Rules of a deeper folder win over those above, later
ones over earlier ones, and those of ripgrep's own files over git's. As with ripgrep's option
``--no-require-git`` it does not matter where repositories begin.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.tools.search.globbing import Wanted, wanted

FILES = (".rgignore", ".ignore", ".gitignore", ".git/info/exclude")
"""The first that says something decides."""
MAX_BYTES = 256 * 1024
MAX_RULES = 5000


@dataclass(frozen=True, slots=True)
class Rule:
    pattern: Wanted
    keeps: bool
    """It began with ``!``."""
    folders_only: bool


@dataclass(frozen=True, slots=True)
class Rules:
    """Of one file. ``depth`` is how many parts of a path lead to its folder."""

    depth: int
    rules: tuple[Rule, ...]

    def ignores(self, parts: Sequence[str], *, is_folder: bool) -> bool | None:
        """None when no rule is about this path."""
        below = parts[self.depth :]
        for rule in reversed(self.rules):
            if (is_folder or not rule.folders_only) and rule.pattern.matches(below):
                return not rule.keeps
        return None


@dataclass(frozen=True, slots=True)
class Ignored:
    """Everything that is said above and in one folder; outermost first, by kind of file."""

    chains: tuple[tuple[Rules, ...], ...] = ((),) * len(FILES)

    def ignores(self, parts: Sequence[str], *, is_folder: bool) -> bool:
        for chain in self.chains:
            for rules in reversed(chain):
                said = rules.ignores(parts, is_folder=is_folder)
                if said is not None:
                    return said
        return False

    def below(self, folder: Path, depth: int) -> "Ignored":
        """With the rules of one more folder, ``depth`` parts from the top."""
        chains = []
        for name, chain in zip(FILES, self.chains, strict=True):
            rules = parse_rules(_read(folder / name))
            chains.append((*chain, Rules(depth, rules)) if rules else chain)
        return Ignored(tuple(chains))


def ignored_above(root: Path) -> Ignored:
    """From the top of the file system down to the folder above ``root``."""
    found = Ignored()
    for depth, folder in enumerate(reversed(root.parents)):
        found = found.below(folder, depth)
    return found


def parse_rules(text: str) -> tuple[Rule, ...]:
    rules = []
    for line in text.split("\n")[:MAX_RULES]:
        rule = _rule(line.removesuffix("\r"))
        if rule is not None:
            rules.append(rule)
    return tuple(rules)


def _rule(line: str) -> Rule | None:
    if line.startswith("#"):
        return None
    while line.endswith(" ") and not line.endswith("\\ "):
        line = line[:-1]
    keeps = line.startswith("!")
    line = line[keeps:]
    pattern = line.removesuffix("/")
    if not pattern.strip("/"):
        return None
    return Rule(wanted(pattern), keeps, line.endswith("/"))


def _read(path: Path) -> str:
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            return file.read(MAX_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""

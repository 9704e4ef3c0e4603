"""The command that carries out a search: ripgrep's words, or those of our own ``program``. Pure."""

import re
import sys
from pathlib import Path

from runner.tools.search.hits import MAX_COLUMNS
from runner.tools.search.request import Mode, Search, dump_search

_SAME = ("--no-config", "--no-messages", "--hidden", "--no-require-git", "--no-ignore-global",
         "--color", "never", "--glob", "!.git")  # fmt: skip
_MODES = {
    Mode.FILES: ("-l", "-0"),
    Mode.COUNT: ("-c", "-H", "-0"),
    Mode.CONTENT: ("-n", "-H", "-0", "--no-heading",
                   "--max-columns", str(MAX_COLUMNS), "--max-columns-preview"),
}  # fmt: skip
_SIMPLE = re.compile(r"[\w.*?-]{1,200}", re.ASCII)
_TOP = Path(__file__).resolve().parents[3]
"""The folder that the package ``runner`` is in."""


def ripgrep_words(program: str, search: Search, root: Path) -> list[str]:
    """``root`` is whole: with ``.`` ripgrep mistakes the rules of folders above.

    Its own ``--glob`` would bring back what ignore files leave out. A simple pattern goes along as
    a file type, any other is for the reader of the output.
    """
    words = [program, *_SAME]
    if search.pattern is None:
        return [*words, "--files", "-0", "--", str(root)]
    words += ["--sort", "path", *_MODES[search.mode]]
    if search.ignore_case:
        words.append("-i")
    if search.multiline:
        words += ["-U", "--multiline-dotall"]
    if search.mode is Mode.CONTENT and search.context:
        words += ["-C", str(search.context)]
    if _SIMPLE.fullmatch(search.only):
        words += ["--type-add", f"wanted:{search.only}", "--type", "wanted"]
    return [*words, "-e", search.pattern, "--", str(root)]


def own_words(search: Search, root: Path) -> list[str]:
    """Nothing of the searched folder is ever imported: ``-P``."""
    interpreter = [sys.executable, "-P", "-S", "-s", "-X", "utf8"]
    return [*interpreter, "-m", "runner.tools.search.program", str(root), dump_search(search)]


def own_environment() -> dict[str, str]:
    return {"PYTHONPATH": str(_TOP), "PYTHONDONTWRITEBYTECODE": "1"}

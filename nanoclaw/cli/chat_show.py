"""How replies look: plain lines, JSON lines, or coloured ones for a person at a terminal.

Used by the modes of ``nanoclaw chat``. Text of agents comes from outside: on a terminal its
control characters and direction overrides are taken out, so it cannot move the cursor, change the
title or hide itself (C appendix B 38).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from contract.jsontext import dump
from nanoclaw.channels.cli.lines import FileRef, Reply
from nanoclaw.channels.cli.names import safe_name
from nanoclaw.cli.render import print_error, print_text

_KEPT_CONTROLS = "\n\t"
_TURNING = frozenset(("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"))
"""Classes of letters that turn the direction of the text behind them."""
_NAME_COLOUR, _DIM, _RESET = "\x1b[1;36m", "\x1b[2m", "\x1b[0m"

Show = Callable[[Reply], None]


@dataclass(frozen=True, slots=True)
class ShowOptions:
    """``name`` is put before an agent's words, where a person reads along."""

    as_json: bool = False
    for_terminal: bool = False
    coloured: bool = False
    name: str = ""
    save_files: Path | None = None


def make_show(options: ShowOptions) -> Show:
    """The function that shows one reply, and returns only when it is shown."""

    def show(reply: Reply) -> None:
        files = tuple(_saved(file, options.save_files) for file in reply.files)
        if options.as_json:
            print_text(dump(_plain(reply, files)))
        elif reply.notice and not options.for_terminal:
            print_error(reply.text)  # not an agent's word; programs read standard output
        else:
            print_text(render_reply(reply, files, options))

    return show


def render_reply(reply: Reply, files: tuple[FileRef, ...], options: ShowOptions) -> str:
    lines = [reply.text] if reply.text else []
    lines += [f"[file] {file.name} ({_size(file.size)}): {file.path}" for file in files]
    text = "\n".join(lines)
    if not options.for_terminal:
        return text
    text = without_controls(text)
    if reply.notice:
        return f"{_DIM}{text}{_RESET}" if options.coloured else text
    name = f"{_NAME_COLOUR}{options.name}{_RESET}" if options.coloured else options.name
    return f"{name}: {text}" if options.name else text


def without_controls(text: str) -> str:
    """The text without anything that a terminal would obey."""
    import unicodedata

    def is_harmless(letter: str) -> bool:
        if unicodedata.category(letter) == "Cc":
            return letter in _KEPT_CONTROLS
        return unicodedata.bidirectional(letter) not in _TURNING

    return "".join(filter(is_harmless, text))


def _saved(file: FileRef, folder: Path | None) -> FileRef:
    """The file as it lies in the user's folder; as it was, if it cannot be copied there."""
    if folder is None:
        return file
    import shutil

    target = _free_name(folder, safe_name(file.name) or "file")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.path, target)
    except OSError as error:
        print_error(f"{file.name} could not be saved to {folder}: {error.strerror or error}")
        return file
    return FileRef(file.name, str(target), file.size)


def _free_name(folder: Path, name: str) -> Path:
    stem, dot, ending = name.rpartition(".")
    candidate, number = folder / name, 1
    while candidate.exists():
        numbered = f"{stem}-{number}.{ending}" if dot and stem else f"{name}-{number}"
        candidate, number = folder / numbered, number + 1
    return candidate


def _plain(reply: Reply, files: tuple[FileRef, ...]) -> dict[str, object]:
    fields: dict[str, object] = {"text": reply.text}
    if reply.notice:
        return {**fields, "notice": True}
    fields |= {"id": reply.id, "reply_to": reply.reply_to, "done": reply.done, "at": reply.at}
    if files:
        fields["files"] = [{"name": f.name, "path": f.path, "size": f.size} for f in files]
    return fields


def _size(size: int) -> str:
    if size < 1024:
        return f"{size} bytes"
    if size < 1024 * 1024:
        return f"{size / 1024:.0f} KB"
    return f"{size / 1024 / 1024:.1f} MB"

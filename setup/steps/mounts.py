"""Which folders of this machine agents may be given: the operator's allowlist (S-93 to S-95).

The file lies outside of the installation, so that no agent can change it. An existing one is
left alone unless the step is asked for again. ``nonMainReadOnly`` of earlier versions is
taken and means nothing (H-198).
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from contract.durable import sync_folder
from contract.errors import BadContent
from contract.ids import new_id
from nanoclaw.config import HostConfig
from nanoclaw.containers.mounts import ALLOWLIST, read_allowlist
from setup.base import REDO, Finding, Question, Status, StepContext, StepResult

KEYS = ("allowedRoots", "blockedPatterns", "nonMainReadOnly")
ROOT_KEYS = ("path", "allowReadWrite", "description")
MAX_ROOTS = 100
WRITABLE = ":rw"
EMPTY: dict[str, object] = {"allowedRoots": [], "blockedPatterns": []}


class SchemaError(ValueError):
    """The allowlist cannot be used; ``word`` is for programs."""

    def __init__(self, word: str, text: str) -> None:
        super().__init__(text)
        self.word = word


def answer_problem(answer: str) -> str | None:
    try:
        parse_answer(answer)
    except SchemaError as error:
        return str(error)
    return None


FOLDERS = Question(
    "mounts", "mounts", "Folders that agents may be given (empty: none)", default="",
    check=answer_problem,
    help=f"paths with commas between, {WRITABLE} behind those to write in; or the file's JSON",
)  # fmt: skip


class MountsStep:
    name = "mounts"
    title = "Say which folders agents may be given"
    seconds = 30.0
    needs: tuple[str, ...] = ()
    questions = (FOLDERS,)

    def inspect(self, config: HostConfig, answers: Mapping[str, str]) -> Finding:
        path = Path.home() / ALLOWLIST
        warning = " of root" if os.getuid() == 0 else ""
        if path.exists() and REDO not in answers:
            return Finding(True, f"{path} is there and stays as it is", facts={"path": str(path)})
        open_questions = () if FOLDERS.key in answers else (FOLDERS,)
        return Finding(
            False, f"there is no list of folders in the home folder{warning}",
            f"write {path}", {"path": str(path)}, open_questions,
        )  # fmt: skip

    def apply(self, context: StepContext) -> StepResult:
        path = Path.home() / ALLOWLIST
        if path.exists() and REDO not in context.answers:
            return StepResult(Status.SKIPPED, f"{path} is there", _fields(path, "unknown"))
        try:
            value = parse_answer(context.answers.get(FOLDERS.key, ""))
        except SchemaError as error:
            fields = {**_fields(path, "0"), "error": error.word}
            return StepResult(Status.FAILED, str(error), fields, "nanoclaw setup --redo mounts")
        try:
            write_allowlist(path, value)
        except OSError as error:
            reason = error.strerror or str(error)
            return StepResult(Status.FAILED, f"{path} cannot be written: {reason}")
        return self.verify(context)

    def verify(self, context: StepContext) -> StepResult:
        path = Path.home() / ALLOWLIST
        try:
            roots = len(read_allowlist(path).roots)
        except (OSError, UnicodeDecodeError, BadContent) as error:
            again = "nanoclaw setup --redo mounts"
            return StepResult(Status.FAILED, f"{path} is not usable: {error}", next_step=again)
        return StepResult(Status.SUCCESS, f"{roots} folders are allowed", _fields(path, str(roots)))


def _fields(path: Path, roots: str) -> dict[str, str]:
    return {"path": str(path), "allowed_roots": roots}


def parse_answer(answer: str) -> dict[str, object]:
    """The file's content. Raises SchemaError."""
    answer = answer.strip()
    if answer.startswith(("{", "[")):
        return checked_json(answer)
    roots: list[object] = []
    for word in filter(None, (part.strip() for part in answer.split(","))):
        path = word.removesuffix(WRITABLE)
        if not path.startswith(("/", "~/")):
            raise SchemaError("invalid_path", f"{path!r} must begin with / or ~/")
        roots.append({"path": path, "allowReadWrite": word != path})
    return checked({**EMPTY, "allowedRoots": roots})


def checked_json(text: str) -> dict[str, object]:
    """Raises SchemaError for what is no JSON, and for what is no allowlist."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SchemaError("invalid_json", f"that is no JSON: {error}") from None
    return checked(value)


def checked(value: object) -> dict[str, object]:
    """Every key is known and of its kind; what is missing gets its empty value."""
    if not isinstance(value, dict):
        raise SchemaError("invalid_schema", "the allowlist is an object with allowedRoots")
    for key in value:
        if key not in KEYS:
            raise SchemaError("invalid_schema", f"unknown key {key!r}; known: {', '.join(KEYS)}")
    roots, patterns = value.get("allowedRoots", []), value.get("blockedPatterns", [])
    if not isinstance(roots, list) or len(roots) > MAX_ROOTS:
        raise SchemaError("invalid_schema", f"allowedRoots is a list of at most {MAX_ROOTS}")
    if not isinstance(patterns, list) or not all(isinstance(p, str) and p for p in patterns):
        raise SchemaError("invalid_schema", "blockedPatterns is a list of texts")
    for number, root in enumerate(roots, start=1):
        _check_root(number, root)
    return {**value, "allowedRoots": roots, "blockedPatterns": patterns}


def _check_root(number: int, root: object) -> None:
    where = f"entry {number} of allowedRoots"
    if not isinstance(root, dict) or not isinstance(root.get("path"), str) or not root["path"]:
        raise SchemaError("invalid_schema", f"{where} must be an object with a path")
    for key in root:
        if key not in ROOT_KEYS:
            hint = "say allowReadWrite: false" if key.lower() == "readonly" else (
                f"known: {', '.join(ROOT_KEYS)}"
            )  # fmt: skip
            raise SchemaError("invalid_schema", f"{where} has the unknown key {key!r}; {hint}")
    if not isinstance(root.get("allowReadWrite", False), bool):
        raise SchemaError("invalid_schema", f"allowReadWrite of {where} is true or false")


def write_allowlist(path: Path, value: Mapping[str, object]) -> None:
    """Whole or not at all; for its owner alone. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    beside = path.with_name(f".{new_id('new')}")
    try:
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(fd)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    sync_folder(path.parent)

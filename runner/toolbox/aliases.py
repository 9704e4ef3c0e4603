"""Names and arguments that other agent programs use for the same tools (R-249).

Pure. Instructions and skills written for them call ``Bash`` or ``file_path``; such a call is carried
out as if it had been written for us. Only arguments that the tool does not know are renamed.
"""

from collections.abc import Callable, Mapping

from runner.toolbox.base import ToolSpec

_RENAMED: Mapping[str, Mapping[str, str]] = {
    "bash": {"timeout": "timeout_ms"},
    "bash_output": {"bash_id": "id", "shell_id": "id", "task_id": "id"},
    "read_file": {"file_path": "path"},
    "write_file": {"file_path": "path"},
    "edit_file": {"file_path": "path", "old_string": "old_text", "new_string": "new_text"},
    "insert_lines": {"file_path": "path", "insert_line": "line", "new_str": "text"},
    "grep": {"output_mode": "mode", "head_limit": "limit", "-i": "ignore_case", "-C": "context"},
    "todo_write": {"todos": "items"},
    "skill": {"skill": "name", "command": "name"},
    "task": {},
}
_GREP_MODES = {"files_with_matches": "files"}
_TODO_STATES = {"completed": "done"}


def mapped_arguments(spec: ToolSpec, arguments: object) -> object:
    """As the tool expects them; anything but an object is returned as it is."""
    if not spec.aliases or not isinstance(arguments, Mapping):
        return arguments
    properties = spec.input_schema.get("properties")
    known = properties if isinstance(properties, Mapping) else {}
    renamed = _RENAMED.get(spec.name, {})
    result: dict[str, object] = {}
    for name, value in arguments.items():
        new = renamed.get(name, name)
        usable = name not in known and new not in arguments
        result[new if usable else str(name)] = value
    translate = _VALUES.get(spec.name)
    return translate(result) if translate else result


def _grep(arguments: dict[str, object]) -> dict[str, object]:
    mode = arguments.get("mode")
    if isinstance(mode, str):
        arguments["mode"] = _GREP_MODES.get(mode, mode)
    sides = [arguments[key] for key in ("-A", "-B") if isinstance(arguments.get(key), int)]
    if sides and "context" not in arguments:
        arguments["context"] = max(int(str(side)) for side in sides)
    return arguments


def _todo(arguments: dict[str, object]) -> dict[str, object]:
    items = arguments.get("items")
    if isinstance(items, list):
        arguments["items"] = [_todo_item(item) for item in items]
    return arguments


def _todo_item(item: object) -> object:
    if not isinstance(item, Mapping):
        return item
    result = {str(key): value for key, value in item.items()}
    if "content" in result and "text" not in result:
        result["text"] = result.pop("content")
    status = result.get("status")
    if isinstance(status, str):
        result["status"] = _TODO_STATES.get(status, status)
    return result


_VALUES: Mapping[str, Callable[[dict[str, object]], dict[str, object]]] = {
    "grep": _grep,
    "todo_write": _todo,
}

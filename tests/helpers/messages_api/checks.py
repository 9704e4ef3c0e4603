"""What the Messages API refuses, as far as a client can get it wrong. Pure.

Written from the published rules of the API: pairing of tool calls and results, roles, cache
breakpoints, thinking that is bound to everything before it, signed compaction blocks. A request
that passes here and is answered strangely in a test is the test's own wish.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from helpers.messages_api.answers import Block, Failing

MAX_BREAKPOINTS = 4
COMPACTION_BETA = "compact-2026-09-04"
BINDING_BETA = "thinking-binding-controls-2026-08-01"
GONE = ("temperature", "top_p", "top_k")
_SIGNED = "sig:"


class RefusedError(Exception):
    """The request is wrong; ``failing`` is the answer."""

    def __init__(
        self, message: str, kind: str = "invalid_request_error", status: int = 400
    ) -> None:
        super().__init__(message)
        self.failing = Failing(status, kind, message)


Signed = Mapping[str, list[dict[str, Any]]]
"""Signatures of the compaction blocks that we have made, and the messages that each stands for."""


def check(body: dict[str, Any], betas: frozenset[str], signed: Signed) -> None:
    """Raises RefusedError."""
    for key in ("model", "max_tokens", "messages"):
        if key not in body:
            raise RefusedError(f"{key}: Field required")
    for key in GONE:
        if key in body:
            raise RefusedError(f"{key}: Extra inputs are not permitted")
    if not body["messages"]:
        raise RefusedError("messages: at least one message is required")
    _check_texts(body)
    _check_roles(body["messages"], to_be_answered="compaction" not in body)
    _check_pairs(body["messages"])
    _check_breakpoints(body)
    _check_tools(body.get("tools", []))
    _check_thinking(body, betas, signed)
    _check_compaction(body, betas, signed)


def content_of(message: dict[str, Any]) -> list[Block]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def prefix_signature(body: dict[str, Any], before: int, signed: Signed) -> str:
    """Binds thinking to system, tools and all messages before it; cache markers do not count.

    A compaction block counts as what it stands for, so that turns may be kept behind it.
    """
    prefix = {
        "system": without_markers(body.get("system", [])),
        "tools": without_markers(body.get("tools", [])),
        "messages": without_markers(_unfolded(body["messages"][:before], signed)),
    }
    return _SIGNED + hashlib.sha256(json.dumps(prefix, sort_keys=True).encode()).hexdigest()[:24]


def _unfolded(messages: list[dict[str, Any]], signed: Signed) -> list[dict[str, Any]]:
    first = content_of(messages[0])[0] if messages else {}
    stands_for = signed.get(str(first.get("signature")))
    if first.get("type") != "compaction" or stands_for is None:
        return messages
    return [*_unfolded(stands_for, signed), *messages[1:]]


def without_markers(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_markers(v) for k, v in value.items() if k != "cache_control"}
    if isinstance(value, list):
        return [without_markers(item) for item in value]
    return value


def markers(body: dict[str, Any]) -> Iterator[tuple[Any, str]]:
    """Every cache breakpoint in the order of the prefix: its time to live, and the hash of all
    that it covers, followed by a colon and how many characters that is."""
    digest, size = hashlib.sha256(), 0
    parts: list[Any] = list(body.get("tools", []))
    system = body.get("system", [])
    parts += [{"type": "text", "text": system}] if isinstance(system, str) else system
    for message in body["messages"]:
        parts += content_of(message)
    for part in parts:
        text = json.dumps(without_markers(part), sort_keys=True).encode()
        digest.update(text)
        size += len(text)
        if "cache_control" in part:
            ttl = part["cache_control"].get("ttl", "5m")
            yield ttl, f"{digest.hexdigest()}:{size}"


def _check_texts(body: dict[str, Any]) -> None:
    for i, message in enumerate(body["messages"]):
        blocks = content_of(message)
        if not blocks:
            raise RefusedError(f"messages.{i}: content must be non-empty")
        for block in blocks:
            if block["type"] == "text" and not block["text"].strip():
                raise RefusedError(f"messages.{i}: text content blocks must be non-empty")


def _check_roles(messages: list[dict[str, Any]], *, to_be_answered: bool) -> None:
    previous = None
    for i, message in enumerate(messages):
        role = message["role"]
        if role not in ("user", "assistant", "system"):
            raise RefusedError(f"messages.{i}.role: unexpected value {role!r}")
        if role == "system" and previous != "user":
            raise RefusedError(f"messages.{i}: a system message must directly follow a user turn")
        if i == 0 and role != "user" and content_of(message)[0]["type"] != "compaction":
            raise RefusedError("messages.0: the first message must be from the user")
        previous = role
    last = messages[-1]
    paused = any(block["type"] == "server_tool_use" for block in content_of(last))
    if to_be_answered and last["role"] == "assistant" and not paused and len(messages) > 1:
        raise RefusedError("This model does not support assistant message prefill.")


def _check_pairs(messages: list[dict[str, Any]]) -> None:
    open_calls: list[str] = []
    for i, message in enumerate(messages):
        blocks = content_of(message)
        if open_calls:
            results = _leading_results(blocks) if message["role"] == "user" else []
            missing = [call for call in open_calls if call not in results]
            if missing:
                raise RefusedError(
                    f"messages.{i}: `tool_use` ids were found without `tool_result` blocks "
                    f"immediately after: {', '.join(missing)}"
                )
        for block in blocks:
            if block["type"] == "tool_result" and block["tool_use_id"] not in open_calls:
                raise RefusedError(f"messages.{i}: unexpected `tool_use_id` {block['tool_use_id']}")
        open_calls = []
        if message["role"] == "assistant":
            open_calls = [block["id"] for block in blocks if block["type"] == "tool_use"]
            if len(set(open_calls)) != len(open_calls):
                raise RefusedError(f"messages.{i}: `tool_use` ids must be unique")
    if open_calls:
        raise RefusedError(f"`tool_use` ids without `tool_result` at the end: {open_calls}")


def _leading_results(blocks: list[Block]) -> list[str]:
    results: list[str] = []
    for block in blocks:
        if block["type"] != "tool_result":
            break
        results.append(block["tool_use_id"])
    return results


def _check_breakpoints(body: dict[str, Any]) -> None:
    lives = [ttl for ttl, _ in markers(body)]
    if len(lives) > MAX_BREAKPOINTS:
        raise RefusedError(f"A maximum of 4 blocks with cache_control may be given, not {lives}")
    if any(life == "1h" and "5m" in lives[:n] for n, life in enumerate(lives)):
        raise RefusedError("a ttl='1h' cache_control block must not come after a ttl='5m' one")
    for message in body["messages"]:
        for block in content_of(message):
            if block["type"] == "thinking" and "cache_control" in block:
                raise RefusedError("thinking blocks cannot carry cache_control")


def _check_tools(tools: list[dict[str, Any]]) -> None:
    names = [tool["name"] for tool in tools]
    double = {name for name in names if names.count(name) > 1}
    if double:
        raise RefusedError(f"tools: Tool names must be unique: {sorted(double)}")
    for i, tool in enumerate(tools):
        allowed = tool["name"].replace("_", "").replace("-", "")
        if not allowed.isascii() or not allowed.isalnum() or len(tool["name"]) > 128:
            raise RefusedError(f"tools.{i}.name: String should match pattern")
        if "type" not in tool and tool.get("input_schema", {}).get("type") != "object":
            raise RefusedError(f"tools.{i}.input_schema.type: Field required")


def _check_thinking(body: dict[str, Any], betas: frozenset[str], signed: Signed) -> None:
    binding = body.get("thinking", {}).get("block_binding")
    if binding is not None and BINDING_BETA not in betas:
        raise RefusedError("thinking.block_binding: Extra inputs are not permitted")
    if binding is not None and binding.get("prefix_mismatch_behavior") == "drop_block":
        return
    for i, message in enumerate(body["messages"]):
        if message["role"] != "assistant":
            continue
        for j, block in enumerate(content_of(message)):
            signature = block.get("signature") or ""
            bound = block["type"] == "thinking" and signature.startswith(_SIGNED)
            if bound and signature != prefix_signature(body, i, signed):
                raise RefusedError(
                    f"messages.{i}.content.{j}: `thinking` block does not match the conversation "
                    "prefix that it was created with"
                )


def _check_compaction(body: dict[str, Any], betas: frozenset[str], signed: Signed) -> None:
    blocks = [
        block
        for message in body["messages"]
        for block in content_of(message)
        if block["type"] == "compaction"
    ]
    if (blocks or "compaction" in body) and COMPACTION_BETA not in betas:
        raise RefusedError("compaction: Extra inputs are not permitted")
    for block in blocks:
        if block.get("signature") not in signed:
            raise RefusedError("compaction signature is invalid", "compaction_signature_invalid")

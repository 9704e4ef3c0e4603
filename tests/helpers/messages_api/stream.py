"""The events of a streamed answer, in the order and shape of the Messages API. Pure."""

import json
from collections.abc import Iterator
from typing import Any

from helpers.messages_api.answers import Answer, Block

Event = dict[str, Any]


def events(answer: Answer, message_id: str, model: str, usage: dict[str, Any]) -> Iterator[Event]:
    """``usage`` is what the server has counted; the answer's own numbers win."""
    counted = {**usage, **answer.usage}
    yield {
        "type": "message_start",
        "message": {
            "id": message_id,
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {**counted, "output_tokens": 1},
        },
    }
    for index, block in enumerate(answer.blocks):
        yield {"type": "content_block_start", "index": index, "content_block": _empty(block)}
        for delta in _deltas(block, answer.chunk):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    end: Event = {"stop_reason": answer.stop_reason, "stop_sequence": None}
    if answer.stop_details is not None:
        end["stop_details"] = answer.stop_details
    final = {"output_tokens": counted.get("output_tokens", 1)}
    if "server_tool_use" in counted:
        final["server_tool_use"] = counted["server_tool_use"]
    yield {"type": "message_delta", "delta": end, "usage": final}
    yield {"type": "message_stop"}


def whole_message(
    answer: Answer, message_id: str, model: str, usage: dict[str, Any]
) -> dict[str, Any]:
    """The same answer for a request without ``stream``."""
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": list(answer.blocks),
        "stop_reason": answer.stop_reason,
        "stop_sequence": None,
        "stop_details": answer.stop_details,
        "usage": {**usage, **answer.usage},
    }


def encode(event: Event) -> bytes:
    """One server-sent event."""
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def _empty(block: Block) -> Block:
    """A block as it looks before its deltas."""
    match block["type"]:
        case "text":
            return {**block, "text": ""}
        case "thinking":
            return {**block, "thinking": "", "signature": ""}
        case "tool_use" | "server_tool_use":
            return {**block, "input": {}}
        case "compaction":
            # The SDK takes the signature from here: its delta has none.
            return {"type": "compaction", "content": None, "signature": block.get("signature")}
        case _:
            return block


def _deltas(block: Block, chunk: int) -> Iterator[Event]:
    match block["type"]:
        case "text":
            for part in _cut(block["text"], chunk):
                yield {"type": "text_delta", "text": part}
        case "thinking":
            for part in _cut(block["thinking"], chunk):
                yield {"type": "thinking_delta", "thinking": part}
            yield {"type": "signature_delta", "signature": block["signature"]}
        case "tool_use" | "server_tool_use":
            text = block.get("partial_json") or json.dumps(block["input"])
            for part in _cut(text, chunk):
                yield {"type": "input_json_delta", "partial_json": part}
        case "compaction":
            yield {
                "type": "compaction_delta",
                "content": block["content"],
                "encrypted_content": block.get("encrypted_content"),
            }


def _cut(text: str, chunk: int) -> Iterator[str]:
    for start in range(0, len(text), chunk):
        yield text[start : start + chunk]

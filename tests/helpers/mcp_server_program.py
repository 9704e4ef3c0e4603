"""A scripted MCP server over stdio, friendly or hostile; a program of the standard library only.

Started as ``python mcp_server_program.py [behaviour ...]``. It speaks the protocol of the years
before 2026, and with ``modern`` the one since. Each behaviour below changes one thing; the tools
are always the same, unless a behaviour is about them.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BEHAVIOURS = set(sys.argv[1:])
FLAG = Path(os.environ.get("FLAG_FILE", "/nonexistent"))
MODERN = "2026-07-28"
LEGACY = "2025-06-18"
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)

_lock = threading.Lock()
_extra: list[str] = []


def write_line(text: str) -> None:
    with _lock:
        sys.stdout.buffer.write(text.encode("utf-8", "surrogatepass") + b"\n")
        sys.stdout.buffer.flush()


def send(**message: Any) -> None:
    write_line(json.dumps({"jsonrpc": "2.0", **message}))


def schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def tool(name: str, description: str = "A tool.", **fields: Any) -> dict[str, Any]:
    return {"name": name, "description": description, "inputSchema": schema(), **fields}


def friendly_tools() -> list[dict[str, Any]]:
    text = schema(text={"type": "string"})
    tools = [
        tool("echo", "Says it again.", inputSchema=text, annotations={"readOnlyHint": True}),
        tool("note", "Writes a line into a file.", inputSchema=text),
        tool("mixed", "Text, image, audio, resources."),
        tool("structured", "Structured content only."),
        tool("long", "Many characters.", inputSchema=schema(size={"type": "integer"})),
        tool("fail", "Answers with an error."),
        tool("refuse", "Answers with a protocol error."),
        tool("slow", "Takes its time and tells of it.", inputSchema=schema(steps={})),
        tool("hang", "Never answers."),
        tool("freeze", "Never answers anything any more."),
        tool("die", "Ends the server."),
        tool("die_safely", "Ends the server once.", annotations={"idempotentHint": True}),
        tool("spawn", "Leaves children behind.", inputSchema=schema(path={}, seconds={})),
        tool("environment", "Shows variables.", inputSchema=schema(names={})),
        tool("pid", "Shows its process id."),
        tool("grow", "Gets a new tool.", inputSchema=schema(name={})),
        tool("huge", "Answers with megabytes.", inputSchema=schema(megabytes={})),
        tool("half", "Answers with half a character."),
        tool("malformed", "Answers with nonsense."),
        tool("unasked", "Floods with notifications, then answers.", inputSchema=schema(count={})),
        tool("ask", "Asks for input."),
        tool("flood", "Floods for ever."),
    ]
    return tools + [tool(name) for name in _extra]


def tools_page(params: dict[str, Any]) -> dict[str, Any]:
    if "many-tools" in BEHAVIOURS:
        return {"tools": [tool(f"tool_{number}") for number in range(100_000)]}
    if "seventy-tools" in BEHAVIOURS:
        return {"tools": [tool(f"tool_{n}", f"Does thing {n}.") for n in range(69)] + [tool("pid")]}
    if "endless-pages" in BEHAVIOURS:
        number = int(params.get("cursor", "0"))
        return {"tools": [tool(f"tool_{number}")], "nextCursor": str(number + 1)}
    if "broken-schemas" in BEHAVIOURS:
        return {"tools": broken_tools()}
    if "no-tools" in BEHAVIOURS:
        return {"tools": []}
    return {"tools": friendly_tools()}


def broken_tools() -> list[Any]:
    deep: dict[str, Any] = {"type": "object"}
    for _ in range(150):
        deep = {"type": "object", "properties": {"a": deep}}
    recursive = {"type": "object", "properties": {"child": {"$ref": "#"}}}
    return [
        "not a tool",
        {"description": "no name"},
        {"name": 7, "inputSchema": {}},
        {"name": "n" * 5000, "inputSchema": {}},
        tool("text_schema", inputSchema="string"),
        tool("no_schema", inputSchema=None),
        tool("array_schema", inputSchema={"type": "array"}),
        tool("bad_type", inputSchema=schema(a={"type": "nonsense"})),
        tool("alternatives", inputSchema={"type": "object", "anyOf": [{"required": ["a"]}]}),
        tool("odd_names", inputSchema=schema(**{"a b": {"type": "string"}})),
        tool("remote", inputSchema=schema(a={"$ref": "http://127.0.0.1:9/schema"})),
        tool("dangling", inputSchema=schema(a={"$ref": "#/$defs/none"})),
        tool("deep", inputSchema=deep),
        tool("huge", inputSchema=schema(a={"enum": ["x" * 100 for _ in range(2000)]})),
        tool("expression", inputSchema=schema(a={"type": "string", "pattern": "(a+)+$"})),
        tool("recursive", inputSchema=recursive),
        tool("con\x00trol\x1b[31m\nname", "De\x07scrip\x00tion"),
        tool("wordy", "w" * 1_000_000),
        tool("annotated", annotations="yes"),
        tool("good", "The only good one.", inputSchema=schema(a={"type": "string"})),
        tool("good", "A second of the same name."),
    ]


def handle(request_id: Any, method: str, params: dict[str, Any]) -> None:
    if IGNORED.get(method) in BEHAVIOURS:
        return
    function = METHODS.get(method)
    if function is None or (method == "server/discover" and "modern" not in BEHAVIOURS):
        send(id=request_id, error={"code": -32601, "message": f"Method not found: {method}"})
    else:
        function(request_id, params)


def discover(request_id: Any, params: dict[str, Any]) -> None:
    capabilities = {"tools": {"listChanged": True}}
    answer(request_id, {"supportedVersions": [MODERN], "capabilities": capabilities, **FRESH})


def initialize(request_id: Any, params: dict[str, Any]) -> None:
    info = {"name": "scripted", "version": "1"}
    capabilities = {"tools": {"listChanged": True}}
    answer(
        request_id, {"protocolVersion": LEGACY, "capabilities": capabilities, "serverInfo": info}
    )


def list_tools(request_id: Any, params: dict[str, Any]) -> None:
    answer(request_id, {**tools_page(params), **FRESH})


def listen(request_id: Any, params: dict[str, Any]) -> None:
    listeners.append(request_id)
    meta = {"io.modelcontextprotocol/subscriptionId": request_id}
    send(
        method="notifications/subscriptions/acknowledged",
        params={"_meta": meta, "notifications": {"toolsListChanged": True}},
    )


def call_tool(request_id: Any, params: dict[str, Any]) -> None:
    call(request_id, params.get("name", ""), params.get("arguments") or {}, params)


FRESH = {"ttlMs": 0, "cacheScope": "public"}
IGNORED = {
    "server/discover": "ignores-discover",
    "initialize": "hang-initialize",
    "tools/list": "hang-list",
}
METHODS: dict[str, Callable[[Any, dict[str, Any]], None]] = {
    "server/discover": discover,
    "initialize": initialize,
    "tools/list": list_tools,
    "tools/call": call_tool,
    "subscriptions/listen": listen,
    "ping": lambda request_id, params: answer(request_id, {}),
}
listeners: list[Any] = []


def answer(request_id: Any, result: dict[str, Any]) -> None:
    if "modern" in BEHAVIOURS:
        result = {"resultType": "complete", **result}
    send(id=request_id, result=result)


def say(request_id: Any, *content: Any, **fields: Any) -> None:
    blocks = [{"type": "text", "text": item} if isinstance(item, str) else item for item in content]
    answer(request_id, {"content": blocks, **fields})


def call(request_id: Any, name: str, arguments: dict[str, Any], params: dict[str, Any]) -> None:
    count_call(name)
    function = CALLS.get(name)
    if function is None:
        say(request_id, f"called {name} with {json.dumps(arguments, sort_keys=True)}")
    else:
        function(request_id, arguments, params)


def count_call(name: str) -> None:
    """One line per call in the file of CALLS_FILE, so that a test sees repetitions."""
    if path := os.environ.get("CALLS_FILE"):
        with Path(path).open("a") as file:
            file.write(f"{name}\n")


def call_echo(request_id: Any, arguments: dict[str, Any], params: dict[str, Any]) -> None:
    say(request_id, str(arguments.get("text", "")))


def call_mixed(request_id: Any, arguments: dict[str, Any], params: dict[str, Any]) -> None:
    say(
        request_id,
        "first",
        {"type": "image", "data": PIXEL, "mimeType": "image/jpeg"},
        {"type": "image", "data": "bm90IGFuIGltYWdl", "mimeType": "image/png"},
        {"type": "image", "data": "!!!", "mimeType": "image/png"},
        {"type": "audio", "data": "UklGRg==", "mimeType": "audio/wav"},
        {"type": "resource", "resource": {"uri": "file:///a.txt", "text": "inside"}},
        {
            "type": "resource",
            "resource": {"uri": "file:///a.bin", "blob": "AAEC", "mimeType": "x/y"},
        },
        {"type": "resource_link", "uri": "file:///b.txt", "name": "b", "description": "a link"},
        "last",
    )


def call_structured(request_id: Any, arguments: dict[str, Any], params: dict[str, Any]) -> None:
    say(request_id, structuredContent={"answer": 42})


def call_long(request_id: Any, arguments: dict[str, Any], params: dict[str, Any]) -> None:
    say(request_id, "x" * int(arguments["size"]))


def call_fail(request_id: Any, arguments: dict[str, Any], params: dict[str, Any]) -> None:
    say(request_id, "the disk is full", isError=True)


def call_refuse(request_id: Any, arguments: dict[str, Any], params: dict[str, Any]) -> None:
    send(id=request_id, error={"code": -32602, "message": "bad\x00 arguments\n here"})


def call_slow(request_id: Any, arguments: dict[str, Any], params: dict[str, Any]) -> None:
    token = params.get("_meta", {}).get("progressToken")
    for step in range(int(arguments.get("steps", 3))):
        progress = {"progressToken": token, "progress": step + 1}
        send(method="notifications/progress", params=progress)
        time.sleep(0.02)
    say(request_id, "done")


def call_hang(request_id: Any, arguments: dict[str, Any], params: dict[str, Any]) -> None:
    pass


def call_freeze(request_id: Any, arguments: dict[str, Any], params: dict[str, Any]) -> None:
    time.sleep(3600)


def call_die(request_id: Any, arguments: dict[str, Any], params: dict[str, Any]) -> None:
    sys.stderr.write("something went very wrong\n")
    sys.stderr.flush()
    os._exit(3)


def call_die_safely(request_id: Any, arguments: dict[str, Any], params: dict[str, Any]) -> None:
    if Path(os.environ["CALLS_FILE"]).read_text().split().count("die_safely") == 1:
        os._exit(3)
    say(request_id, "the second time it worked")


def call_spawn(request_id: Any, arguments: dict[str, Any], params: dict[str, Any]) -> None:
    """Three children: one in our group, one in its own group, one in its own session."""
    command = ["sleep", str(arguments.get("seconds", 600))]
    children = [
        subprocess.Popen(command),
        subprocess.Popen(command, process_group=0),
        subprocess.Popen(command, start_new_session=True),
    ]
    say(request_id, json.dumps([child.pid for child in children]))


def call_environment(request_id: Any, arguments: dict[str, Any], params: dict[str, Any]) -> None:
    say(request_id, json.dumps({name: os.environ.get(name) for name in arguments["names"]}))


def call_pid(request_id: Any, arguments: dict[str, Any], params: dict[str, Any]) -> None:
    say(request_id, str(os.getpid()))


def call_grow(request_id: Any, arguments: dict[str, Any], params: dict[str, Any]) -> None:
    _extra.append(str(arguments["name"]))
    tell_of_change()
    say(request_id, "grown")


def tell_of_change() -> None:
    if not listeners:
        send(method="notifications/tools/list_changed")
    for listener in listeners:
        meta = {"io.modelcontextprotocol/subscriptionId": listener}
        send(method="notifications/tools/list_changed", params={"_meta": meta})


def call_huge(request_id: Any, arguments: dict[str, Any], params: dict[str, Any]) -> None:
    """Written in pieces, so that this program needs no memory for it."""
    block = b"x" * (1024 * 1024)
    with _lock:
        out = sys.stdout.buffer
        out.write(
            b'{"jsonrpc":"2.0","id":%d,"result":{"content":[{"type":"text","text":"' % request_id
        )
        for _ in range(int(arguments["megabytes"])):
            out.write(block)
        out.write(b'"}]}}\n')
        out.flush()


def call_half(request_id: Any, arguments: dict[str, Any], params: dict[str, Any]) -> None:
    say(request_id, "half \ud83d of it")


def call_malformed(request_id: Any, arguments: dict[str, Any], params: dict[str, Any]) -> None:
    answer(request_id, {"content": [{"type": "hologram"}], "isError": "perhaps"})


def call_unasked(request_id: Any, arguments: dict[str, Any], params: dict[str, Any]) -> None:
    message = {"level": "info", "data": "noise"}
    for number in range(int(arguments["count"])):
        send(method="notifications/message", params=message)
        send(id=1_000_000 + number, result={})
        write_line("this is no JSON at all")
    say(request_id, "after the noise")


def call_ask(request_id: Any, arguments: dict[str, Any], params: dict[str, Any]) -> None:
    send(id="q1", method="sampling/createMessage", params={"messages": [], "maxTokens": 5})
    send(id="q2", method="ping")
    say(request_id, "asked")


def call_flood(request_id: Any, arguments: dict[str, Any], params: dict[str, Any]) -> None:
    while True:
        send(method="notifications/message", params={"level": "info", "data": "noise"})


CALLS = {
    name.removeprefix("call_"): value
    for name, value in globals().items()
    if name.startswith("call_") and name != "call_tool" and callable(value)
}


def die_at_start() -> None:
    sys.stderr.write("ModuleNotFoundError: no module of that name\n")
    sys.exit(1)


def die_first_time() -> None:
    if not FLAG.exists():
        FLAG.touch()
        sys.exit(1)


def wait_for_file() -> None:
    while not FLAG.exists():
        time.sleep(0.02)


def write_endless_line() -> None:
    while True:
        sys.stdout.buffer.write(b"x" * 65536)


def write_garbage() -> None:
    while True:
        sys.stdout.buffer.write(b"this is no message\n" * 1000)


def chat() -> None:
    sys.stdout.buffer.write("Welcome! Ü: \xff\n\n\n".encode("latin-1"))
    sys.stdout.buffer.flush()


def close_output() -> None:
    os.close(1)
    time.sleep(3600)


def flood_stderr() -> None:
    while True:
        os.write(2, b"complaint\n" * 1000 + b"z" * 100_000)


AT_START: dict[str, Callable[[], object]] = {
    "die-at-start": die_at_start,
    "die-first-time": die_first_time,
    "wait-for-file": wait_for_file,
    "endless-line": write_endless_line,
    "garbage": write_garbage,
    "chatter": chat,
    "stderr-flood": lambda: threading.Thread(target=flood_stderr, daemon=True).start(),
    "closes-output": close_output,
    "deaf": lambda: time.sleep(3600),
}


def main() -> None:
    for behaviour, act in AT_START.items():
        if behaviour in BEHAVIOURS:
            act()
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if "method" in message and "id" in message:
            if message.get("params", {}).get("name") in ("slow", "flood", "hang"):
                threading.Thread(
                    target=handle,
                    args=(message["id"], message["method"], message["params"]),
                    daemon=True,
                ).start()
            else:
                handle(message["id"], message["method"], message.get("params") or {})
    if "stays" in BEHAVIOURS:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(3600)


if __name__ == "__main__":
    main()

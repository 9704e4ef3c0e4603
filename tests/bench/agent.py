"""What the agent with a model costs: cold start up to the first request, and a warm turn.

The model is the test server, which answers at once, so that what is measured is ours: container,
runner, SDK, relay, vault and back. The first answer is held until claim and request are read.
"""

import json
import random
import subprocess
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path

from helpers.agent import CHAT, AgentHome
from helpers.messages_api.answers import to
from helpers.messages_api.server import MessagesApi

from bench.figures import Figure, spread
from contract.clock import parse_text, utc_now


def measure_agent(folder: Path, cold: int, warm: int, seed: int) -> list[Figure]:
    """Needs the engine; figures in milliseconds."""
    claims: list[float] = []
    requests: list[float] = []
    with MessagesApi() as api, AgentHome(folder / "agent", api, "docker") as home:
        api.script(to(CHAT, "the image is there"))
        home.start()
        home.terminal.wait_for_answer(home.terminal.send("first"), within=900)
        for number in range(cold):
            _remove_agent(home)
            claim, request = _cold_turn(home, number)
            claims.append(claim)
            requests.append(request)
        samples = _warm_turns(home, warm, random.Random(seed))
    return [
        spread("agent: container start to first claim", "ms", claims),
        spread("agent: container start to first model request", "ms", requests),
        spread("agent: warm chat turn with a model that answers at once", "ms", samples,
               note="through relay, vault and SDK"),
    ]  # fmt: skip


def _remove_agent(home: AgentHome) -> None:
    for container in home.containers():
        subprocess.run(["docker", "kill", container], capture_output=True, check=False)
    home.wait(lambda: not home.containers(), "the container is gone")


def _cold_turn(home: AgentHome, number: int) -> tuple[float, float]:
    """Milliseconds from the container's start to the claim and to the request."""
    gate = threading.Event()
    home.api.script(to(CHAT, f"cold {number}", gate=gate))
    message_id = home.terminal.send(f"cold {number}")
    request = home.wait_for_requests(len(home.api.requests) + 1)
    asked = utc_now() - timedelta(seconds=time.monotonic() - request.at)
    (container,) = home.containers()
    (facts,) = json.loads(subprocess.check_output(["docker", "inspect", container]))
    started = datetime.fromisoformat(facts["State"]["StartedAt"][:26].rstrip("Z") + "+00:00")
    ((text,),) = home.outbound(
        "SELECT status_changed FROM processing_ack WHERE status = 'processing'"
    )
    claimed = parse_text(str(text))
    assert claimed is not None
    gate.set()
    home.wait_for_answer(message_id)
    return _milliseconds(claimed - started), _milliseconds(asked - started)


def _warm_turns(home: AgentHome, count: int, think: random.Random) -> list[float]:
    samples: list[float] = []
    for number in range(count):
        time.sleep(think.uniform(0.05, 0.4))
        home.api.script(to(CHAT, f"warm {number}"))
        began = time.monotonic()
        home.ask(f"warm {number}")
        samples.append((time.monotonic() - began) * 1000)
    return samples


def _milliseconds(span: timedelta) -> float:
    return span.total_seconds() * 1000

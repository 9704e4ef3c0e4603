"""The agent with a model, killed at each of its steps, in the middle of tool calls and answers.

What must hold: every message is answered once, nothing that a tool has done is repeated, and every
request to the model is one that the API accepts. A call that was cut off before it did anything is
told to the model as interrupted; this model does not try again.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.agent import CHAT, AgentHome
from helpers.kill_points import KillFolder, find_kill_points
from helpers.messages_api.answers import Reply, answer, refusal, summary, to, use
from helpers.messages_api.server import MessagesApi, Request
from helpers.waiting import wait_until

POINTS = (
    "runner.claimed",
    "runner.turn_started",
    "runner.conversation_begun",
    "runner.conversation_epoch",
    "runner.conversation_user",
    "runner.conversation_assistant",
    "runner.conversation_turn_end",
    "runner.tool_committed",
    "runner.turn_done",
    "runner.answered",
    "vault.recovered",
    "vault.door_opened",
    "vault.reserved",
    "vault.settled",
)
FORGETTING = (
    ("/compact", "compact", "runner.conversation_archived"),
    ("/compact", "compact", "runner.conversation_compaction"),
    ("/compact", "compact", "runner.conversation_compacted"),
    ("forbidden", "declined", "runner.conversation_retract"),
)
"""What is said, what the answer to it contains, and a step on the way there."""
VICTIMS = ("vault", "sweep", "delivery", "supervisor")


def model(request: Request) -> Reply:
    """Sends a message by tool, writes a line by shell, answers; whatever is done already counts."""
    asked = max(
        index
        for index, message in enumerate(request.messages)
        if message["role"] == "user" and any("<message id=" in str(b) for b in message["content"])
    )
    calls = sum(
        block["type"] == "tool_use"
        for message in request.messages[asked:]
        if message["role"] == "assistant"
        for block in message["content"]
    )
    number = request.everything.count("question-")
    if calls == 0:
        return answer(use("mcp__nanoclaw__send_message", to=CHAT, text=f"working-{number}"))
    if calls == 1:
        return answer(use("bash", command=f"echo line-{number} >> lines.txt"))
    return to(CHAT, f"answer-{number}")


@pytest.fixture
def api() -> Iterator[MessagesApi]:
    with MessagesApi() as server:
        server.respond(model)
        yield server


@pytest.fixture
def kill(tmp_path: Path) -> KillFolder:
    folder = KillFolder(tmp_path / "kill")
    folder.path.mkdir()
    return folder


@pytest.fixture
def home(tmp_path: Path, api: MessagesApi, kill: KillFolder) -> Iterator[AgentHome]:
    with AgentHome(tmp_path, api, "process", kill_dir=kill.path) as made:
        yield made


def assert_balanced(home: AgentHome, questions: int) -> None:
    home.wait(lambda: f"answer-{questions}" in home.said, "the last answer is there")
    for number in range(1, questions + 1):
        assert home.said.count(f"working-{number}") <= 1, home.said
        assert home.said.count(f"answer-{number}") == 1, home.said
    assert [text for text in home.said if text.startswith("Error")] == []
    assert home.api.refusals == []


@pytest.mark.parametrize("point", POINTS)
def test_an_agent_that_dies_at_a_step_loses_and_repeats_nothing(
    home: AgentHome, kill: KillFolder, point: str
) -> None:
    home.start()
    kill.arm(point, "self")

    home.terminal.send("question-1")
    home.wait(lambda: "answer-1" in home.said, "the first answer is there", within=60)
    home.terminal.send("question-2")
    home.wait(lambda: "answer-2" in home.said, "the second answer is there", within=60)

    assert kill.was_reached(point)
    assert_balanced(home, 2)


def forgetful(request: Request) -> Reply:
    """Answers the last question; anything else is the wish for a summary."""
    last = str(request.messages[-1]["content"])
    if "forbidden" in last:
        return refusal()
    for number in (1, 2):
        if f"question-{number}" in last:
            return to(CHAT, f"answer-{number}")
    return summary("They have talked.")


@pytest.mark.parametrize(("said", "told", "point"), FORGETTING)
def test_an_agent_that_dies_while_it_forgets_answers_once_and_goes_on(
    home: AgentHome, kill: KillFolder, said: str, told: str, point: str
) -> None:
    home.api.respond(forgetful)
    home.start()
    home.terminal.send("question-1")
    home.wait(lambda: "answer-1" in home.said, "the first answer is there", within=60)
    kill.arm(point, "self")

    home.terminal.send(said)
    home.wait(lambda: any(told in text for text in home.said), f"{told} is said", within=60)
    home.terminal.send("question-2")
    home.wait(lambda: "answer-2" in home.said, "the second answer is there", within=60)

    assert kill.was_reached(point)
    assert [home.said.count(f"answer-{number}") for number in (1, 2)] == [1, 1]
    assert home.api.refusals == []
    assert sum(told in text for text in home.said) == 1, home.said


def test_the_steps_of_this_way_exist() -> None:
    assert {*POINTS, *(point for _, _, point in FORGETTING)} <= set(find_kill_points())


@pytest.mark.parametrize("victim", VICTIMS)
def test_the_host_may_die_while_the_model_speaks(
    home: AgentHome, kill: KillFolder, victim: str
) -> None:
    home.start()
    home.terminal.send("question-1")
    home.wait_for_requests(2)

    if victim == "supervisor":
        home.host.kill()
        wait_until(lambda: not home.host.living(), within=10, what="the old tree is gone")
        home.host.start()
    else:
        home.host.kill_child(victim)

    assert_balanced(home, 1)

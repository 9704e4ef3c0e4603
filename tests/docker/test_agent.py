"""The agent in its real container: whole conversations, and what it can reach."""

import subprocess
from pathlib import Path

import pytest
from helpers.agent import CHAT, AgentHome
from helpers.agent_scenarios import SCENARIOS, Scenario
from helpers.messages_api.answers import answer, to, use
from helpers.messages_api.server import KEY, MessagesApi

CONTROL = "control-marker-5b2d"
"""Put into one file, to see that the search finds what is there."""


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_scenario(scenario: Scenario, tmp_path: Path) -> None:
    with MessagesApi() as api, AgentHome(tmp_path, api, "docker") as home:
        scenario(home)


def inside(home: AgentHome, command: str) -> str:
    (container,) = home.containers()
    words = ["docker", "exec", container, "bash", "-c", command]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_the_key_is_nowhere_in_the_container(tmp_path: Path) -> None:
    memory = "env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'"
    files = f"grep -ral -e {KEY} -e {CONTROL} / --exclude-dir=proc --exclude-dir=sys 2>/dev/null"
    with MessagesApi() as api, AgentHome(tmp_path, api, "docker") as home:
        api.script(to(CHAT, "Hello."))
        home.start()
        home.ask("Hi")

        (home.group_folder / "control.txt").write_text(CONTROL)

        held, found = inside(home, memory), inside(home, files)

        assert "ANTHROPIC_AUTH_TOKEN" in held or "runner" in held
        assert KEY not in held
        assert found.split() == ["/workspace/agent/control.txt"]
        assert api.requests[0].headers.get("x-api-key", "") + api.requests[0].headers.get(
            "authorization", ""
        ) in (KEY, f"Bearer {KEY}")


def test_the_only_way_out_is_the_door(tmp_path: Path) -> None:
    def reach(api: MessagesApi) -> str:
        return (
            f"ls /sys/class/net; curl -s -m 3 http://127.0.0.1:{api.port}/ || echo no loopback; "
            "curl -s -m 3 http://10.0.0.1/ || echo no network; "
            "getent hosts example.org || echo no names; "
            "test -S /session/door/vault.sock && echo door"
        )

    with MessagesApi() as api, AgentHome(tmp_path, api, "docker") as home:
        api.script(to(CHAT, "Hello."))
        home.start()
        home.ask("Hi")

        found = inside(home, reach(api))

    assert found.split()[0] == "lo"
    assert {"no loopback", "no network", "no names", "door"} <= set(found.splitlines())


def test_the_agent_cannot_ask_for_other_routes(tmp_path: Path) -> None:
    ask = (
        'curl -s -m 5 -H "authorization: Bearer $ANTHROPIC_AUTH_TOKEN" '
        "$ANTHROPIC_BASE_URL/v1/organizations"
    )
    call = use("bash", command=f"echo token=${{ANTHROPIC_AUTH_TOKEN:-none}}; {ask}")
    with MessagesApi() as api, AgentHome(tmp_path, api, "docker") as home:
        api.script(answer(call), to(CHAT, "done"))
        home.start()
        home.ask("Hi")

        text = api.requests[1].results[call["id"]]

    assert "token=none" in text
    assert all(request.path == "/v1/messages" for request in api.requests)


def test_a_killed_container_is_followed_by_one_that_knows(tmp_path: Path) -> None:
    import threading

    gate = threading.Event()
    call = use("bash", command="echo once >> once.txt")
    with MessagesApi() as api, AgentHome(tmp_path, api, "docker") as home:
        api.script(answer(call), to(CHAT, "first", gate=gate), to(CHAT, "after the kill"))
        home.start()
        home.terminal.send("Write it down")
        home.wait_for_requests(2)
        (container,) = home.containers()

        subprocess.run(["docker", "kill", container], capture_output=True, check=True)
        home.wait_for_texts("after the kill")
        gate.set()

        assert (home.group_folder / "once.txt").read_text() == "once\n"
        assert call["id"] in api.requests[2].everything
        assert home.said == ["after the kill"]
        assert api.refusals == []

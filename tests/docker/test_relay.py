"""Agents whose way to the vault is a relay, as on engines that pass no sockets in mounts."""

import subprocess
import threading
from pathlib import Path

from helpers.agent import CHAT, AgentHome
from helpers.kill_points import KillFolder
from helpers.messages_api.answers import answer, to, use
from helpers.messages_api.server import MessagesApi
from helpers.waiting import wait_until

from nanoclaw.containers.network import read_network
from nanoclaw.containers.relay_body import RELAY_LABEL
from nanoclaw.containers.spec import INSTALL_LABEL, SESSION_LABEL


def relayed(folder: Path, api: MessagesApi, kill: KillFolder | None = None) -> AgentHome:
    home = AgentHome(folder, api, "docker", kill_dir=None if kill is None else kill.path)
    home.paths.config_file.write_text('network = "relay"\n')
    return home


def docker(*words: str) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def running(home: AgentHome, label: str) -> list[str]:
    """Ids of the relays, or of the agents."""
    ours = f"label={INSTALL_LABEL}={home.paths.slug}"
    return docker("ps", "-q", "--filter", ours, "--filter", f"label={label}").split()


def volumes(home: AgentHome) -> list[str]:
    ours = f"label={INSTALL_LABEL}={home.paths.slug}"
    return docker("volume", "ls", "-q", "--filter", ours).split()


def inside(home: AgentHome, command: str) -> str:
    (agent,) = running(home, SESSION_LABEL)
    return docker("exec", agent, "bash", "-c", command)


def test_a_turn_goes_through_the_relay(tmp_path: Path) -> None:
    call = use("bash", command="echo from the agent")
    with MessagesApi() as api, relayed(tmp_path, api) as home:
        api.script(answer(call), to(CHAT, "Hello."))
        home.start()

        assert home.ask("Hi").text == "Hello."

        facts = read_network(home.paths)
        assert facts is not None
        assert (facts.way, facts.why) == ("relay", "set by network")
        status = (home.paths.run / "sweep.json").read_text()
        assert '"door": "relay (set by network)"' in status
        assert "from the agent" in api.requests[1].results[call["id"]]
        assert len(running(home, RELAY_LABEL)) == len(volumes(home)) == 1


def test_an_engine_that_passes_sockets_needs_no_relay(tmp_path: Path) -> None:
    with MessagesApi() as api, AgentHome(tmp_path, api, "docker") as home:
        api.script(to(CHAT, "Hello."))
        home.start()

        assert home.ask("Hi").text == "Hello."

        facts = read_network(home.paths)
        assert facts is not None
        assert (facts.way, facts.setting, facts.address) == ("socket", "auto", "")
        assert running(home, RELAY_LABEL) == volumes(home) == []
        assert "entrance for relays" not in home.host.log()


def test_agent_reaches_nothing_but_its_door(tmp_path: Path) -> None:
    with MessagesApi() as api, relayed(tmp_path, api) as home:
        api.script(to(CHAT, "Hello."))
        home.start()
        home.ask("Hi")
        (door,) = home.paths.doors.iterdir()
        facts = read_network(home.paths)
        assert facts is not None
        proof = (door / "door.json").read_text()
        found = inside(
            home,
            f"ls /sys/class/net; curl -s -m 3 http://{facts.address}:22/ || echo no host; "
            f"curl -s -m 3 http://127.0.0.1:{api.port}/ || echo no loopback; "
            "getent hosts nanoclaw-host example.org || echo no names; "
            "test -S /session/door/vault.sock && echo door; "
            "touch /session/door/x 2>/dev/null || echo not written; "
            "rm -f /session/door/vault.sock 2>/dev/null || echo not removed; "
            "ls /session/relay 2>/dev/null || echo no relay; ls /session/door",
        ).splitlines()
        told = docker("inspect", *running(home, SESSION_LABEL), *running(home, RELAY_LABEL))

    assert found[0] == "lo"
    assert "eth0" not in found
    expected = {"no host", "no loopback", "no names", "door", "not written", "not removed"}
    assert expected | {"no relay"} <= set(found)
    assert proof.split('"proof": "')[1].split('"')[0] not in told


def test_vault_that_was_killed_is_found_again(tmp_path: Path) -> None:
    with MessagesApi() as api, relayed(tmp_path, api) as home:
        api.script(to(CHAT, "Hello."), to(CHAT, "Still here."))
        home.start()
        home.ask("Hi")
        (relay,) = running(home, RELAY_LABEL)

        home.host.wait_for_recovery("vault", home.host.kill_child("vault"))

        assert home.ask("And now?").text == "Still here."
        assert running(home, RELAY_LABEL) == [relay]


def test_relay_that_was_killed_is_started_again(tmp_path: Path) -> None:
    with MessagesApi() as api, relayed(tmp_path, api) as home:
        api.script(to(CHAT, "Hello."), to(CHAT, "Still here."))
        home.start()
        home.ask("Hi")
        (agent,), (relay,) = running(home, SESSION_LABEL), running(home, RELAY_LABEL)

        docker("kill", relay)

        assert home.ask("And now?").text == "Still here."
        assert (running(home, SESSION_LABEL), running(home, RELAY_LABEL)) == ([agent], [relay])


def test_relay_that_died_without_a_host_is_started_again_by_the_next(tmp_path: Path) -> None:
    with MessagesApi() as api, relayed(tmp_path, api) as home:
        api.script(to(CHAT, "Hello."), to(CHAT, "Still here."))
        home.start()
        home.ask("Hi")
        (agent,), (relay,) = running(home, SESSION_LABEL), running(home, RELAY_LABEL)
        home.terminal.close()
        home.host.stop()
        docker("kill", relay)

        home.start()
        wait_until(lambda: running(home, RELAY_LABEL) == [relay], within=20, what="it is back")

        assert home.ask("And now?").text == "Still here."
        assert running(home, SESSION_LABEL) == [agent]


def test_relay_and_volume_go_with_their_agent(tmp_path: Path) -> None:
    with MessagesApi() as api, relayed(tmp_path, api) as home:
        api.script(to(CHAT, "Hello."))
        home.start()
        home.ask("Hi")

        docker("kill", *running(home, SESSION_LABEL))

        wait_until(lambda: not home.containers(), within=20, what="both containers are gone")
        wait_until(lambda: not volumes(home), within=20, what="the volume is gone")


def test_host_killed_between_relay_and_agent_leaves_nothing_behind(tmp_path: Path) -> None:
    kill = KillFolder(tmp_path / "kill")
    kill.path.mkdir()
    kill.arm("relay.created", "self")
    with MessagesApi() as api, relayed(tmp_path, api, kill) as home:
        api.script(to(CHAT, "Hello."))
        home.start()

        assert home.ask("Hi").text == "Hello."

        assert kill.was_reached("relay.created")
        assert len(home.containers()) == 2
        assert len(running(home, RELAY_LABEL)) == len(volumes(home)) == 1


def test_answer_that_streams_survives_nothing_worse_than_a_retry(tmp_path: Path) -> None:
    gate = threading.Event()
    with MessagesApi() as api, relayed(tmp_path, api) as home:
        api.script(to(CHAT, "never said", gate=gate), to(CHAT, "said once"))
        home.start()
        home.terminal.send("Hi")
        home.wait_for_requests(1)

        docker("kill", *running(home, RELAY_LABEL))
        home.wait_for_texts("said once")
        gate.set()

        assert home.said == ["said once"]

"""The whole host with OneCLI behind it: start, agent, door, vault, proxy, and the owner's yes."""

from contextlib import closing
from pathlib import Path

import pytest
from helpers.host import Host
from helpers.onecli_stand_in import INJECTED, KEY, OneCli
from helpers.terminal import Terminal
from helpers.vault_upstream import FakeUpstream
from helpers.waiting import wait_until

from contract.clock import utc_now
from contract.jsontext import dump
from nanoclaw.approvals import answers
from nanoclaw.approvals.clicks import Click
from nanoclaw.cli.render import render_host_view
from nanoclaw.cli.status import read_host_view
from nanoclaw.config import load_config
from nanoclaw.db import agent_groups, container_configs, gateway
from nanoclaw.db.connection import open_central, transaction
from nanoclaw.db.container_configs import ContainerConfigChange
from nanoclaw.model import EgressMode


@pytest.fixture
def host(tmp_path: Path, onecli: OneCli) -> Host:
    """Not started yet."""
    flags = [
        "--credentials-backend=onecli",
        f"--onecli-url={onecli.url}",
        "--anthropic-base-url=http://api.model.test",
    ]
    return Host(tmp_path / "home", flags=flags, environment={"ONECLI_API_KEY": KEY})


def let_it_fetch(host: Host, url: str) -> str:
    """An agent that fetches ``url`` with curl when it is spoken to; its group's id."""
    steps = [
        {"call": {"tool": "Bash", "arguments": {"command": f"curl -sS --noproxy '' {url}"}}},
        {"say": "It says: {result}"},
    ]
    place = url.removeprefix("https://").removeprefix("http://").partition("/")[0]
    change = ContainerConfigChange(
        provider="scripted",
        script=dump({"rules": [{"match": "fetch", "steps": steps}]}),
        egress_mode=EgressMode.ALLOWLIST,
        egress_allow=(f"{place} local",),
    )
    conn = open_central(host.paths.central_db)
    try:
        (group,) = agent_groups.list_all(conn)
        with transaction(conn):
            container_configs.update(conn, group.id, change, utc_now())
    finally:
        conn.close()
    return group.id


def press_yes(host: Host) -> str:
    """The owner at the terminal, as soon as there is a card."""
    conn = open_central(host.paths.central_db)
    try:
        wait_until(lambda: gateway.every(conn), within=20, what="a card")
        (row,) = gateway.every(conn)
        with transaction(conn):
            answers.answer(
                conn, Click(row.approval_id, "0", "cli:local", "cli", "local"), utc_now()
            )
    finally:
        conn.close()
    return row.question


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_curl_of_an_agent_gets_a_credential_that_the_owner_allowed(
    host: Host, onecli: OneCli, upstream: FakeUpstream, scheme: str
) -> None:
    upstream.play = lambda call: call.whole(b"forty-two")
    onecli.approve_first = True
    port = upstream.url.rpartition(":")[2]
    with host, closing(Terminal(host.paths.socket("cli"))) as terminal:
        agent = let_it_fetch(host, f"{scheme}://127.0.0.1:{port}/things")
        sent = terminal.send("fetch it")
        question = press_yes(host)
        answer = terminal.wait_for_answer(sent)

        assert "forty-two" in str(answer)
        assert "`GET`" in question
        (seen,) = upstream.seen
        assert seen.headers["authorization"] == INJECTED
        assert list(onecli.agents) == [agent]
        assert onecli.passed == [(agent, "GET", f"127.0.0.1:{port}/things")]
        notes = host.child("vault").notes
        assert notes["gateway"].startswith(f"onecli {onecli.url}: answers since")
        assert host.stop() == 0
        assert "Traceback" not in host.log() + host.error_output()


def test_h189_agent_waits_for_the_gateway_and_starts_when_it_is_there(
    host: Host, onecli: OneCli, upstream: FakeUpstream
) -> None:
    upstream.play = lambda call: call.whole(b"forty-two")
    with host, closing(Terminal(host.paths.socket("cli"))) as terminal:
        let_it_fetch(host, f"{upstream.url}/things")
        onecli.down()
        sent = terminal.send("fetch it")
        wait_until(lambda: "agent cannot start" in host.log(), within=20)
        assert "OneCLI at" in host.log()

        onecli.up()

        assert "forty-two" in str(terminal.wait_for_answer(sent))


def test_agent_that_needs_no_door_needs_no_gateway(host: Host, onecli: OneCli) -> None:
    onecli.down()
    with host, closing(Terminal(host.paths.socket("cli"))) as terminal:
        conn = open_central(host.paths.central_db)
        with closing(conn), transaction(conn):
            (group,) = agent_groups.list_all(conn)
            change = ContainerConfigChange(provider="scripted")
            container_configs.update(conn, group.id, change, utc_now())

        assert "hello" in str(terminal.wait_for_answer(terminal.send("hello")))


def test_status_tells_of_the_gateway_in_one_line(host: Host, onecli: OneCli) -> None:
    with host, closing(Terminal(host.paths.socket("cli"))) as terminal:
        let_it_fetch(host, "http://127.0.0.1:1/")
        terminal.wait_for_answer(terminal.send("anything"))
        wait_until(lambda: "gateway" in host.child("vault").notes, within=20)
        onecli.down()
        wait_until(
            lambda: "does not answer since" in host.child("vault").notes["gateway"], within=20
        )

        view = render_host_view(read_host_view(load_config(home=host.paths.home, environment={})))

    assert view.count(f"gateway=onecli {onecli.url}: does not answer since") == 1

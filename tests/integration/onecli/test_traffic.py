import base64
import http.client
import socket
import ssl
from contextlib import closing

import pytest
from helpers.onecli_scene import Scene
from helpers.onecli_stand_in import INJECTED, OneCli
from helpers.vault_client import DoorClient, raw
from helpers.vault_process import KEY as MODEL_KEY
from helpers.vault_upstream import FakeUpstream
from helpers.waiting import wait_until

from contract.clock import utc_now
from nanoclaw.db import container_configs
from nanoclaw.db.connection import transaction
from nanoclaw.db.container_configs import ContainerConfigChange


def allow(scene: Scene, *rules: str) -> None:
    with scene.vault.database() as conn, transaction(conn):
        change = ContainerConfigChange(egress_allow=rules)
        container_configs.update(conn, scene.group.id, change, utc_now())


def login(door: DoorClient) -> str:
    return "Basic " + base64.b64encode(f"agent:{door.token}".encode()).decode()


def port_of(upstream: FakeUpstream) -> int:
    return int(upstream.url.rpartition(":")[2])


def tunnel(door: DoorClient, authority: str) -> tuple[int, socket.socket]:
    connection = raw(door.socket)
    head = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n"
    connection.sendall(f"{head}Proxy-Authorization: {login(door)}\r\n\r\n".encode())
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(1)
    return int(received.split(b" ")[1]), connection


def get_over_tls(door: DoorClient, onecli: OneCli, port: int) -> bytes:
    """As a program in the container that trusts what ``in/gateway-ca.pem`` says."""
    status, connection = tunnel(door, f"127.0.0.1:{port}")
    with closing(connection):
        assert status == 200
        context = ssl.create_default_context(cadata=onecli.ca)
        with context.wrap_socket(connection, server_hostname="127.0.0.1") as tls:
            tls.sendall(b"GET /things HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            answer = http.client.HTTPResponse(tls)
            answer.begin()
            return answer.read()


def test_model_request_goes_through_the_gateway_which_has_the_key(
    scene: Scene, upstream: FakeUpstream
) -> None:
    scene.vault.start()
    door = scene.vault.new_door()

    answer = door.ask()

    assert (answer.status, b"Hello" in answer.body) == (200, True)
    (seen,) = upstream.seen
    assert seen.headers["authorization"] == INJECTED
    (passed,) = scene.onecli.passed
    assert passed[:2] == (scene.group.id, "POST")
    assert scene.vault.wait_for_settlement()[0].settled_at is not None


def test_model_request_over_tls_trusts_the_gateway_and_nobody_else(
    scene: Scene, upstream: FakeUpstream
) -> None:
    port = port_of(upstream)
    scene.settings(anthropic_base_url=f"https://api.model.test:{port}")
    scene.vault.start()
    door = scene.vault.new_door()

    first, second = door.ask(), door.ask()

    assert (first.status, second.status) == (200, 200)
    assert {seen.headers["authorization"] for seen in upstream.seen} == {INJECTED}
    assert scene.onecli.passed[0][2] == f"api.model.test:{port}/v1/messages"


def test_agent_with_a_secret_of_its_own_goes_past_the_gateway(
    scene: Scene, upstream: FakeUpstream
) -> None:
    scene.vault.key(MODEL_KEY, name="own-api-key")
    with scene.vault.database() as conn, transaction(conn):
        change = ContainerConfigChange(credential="own-api-key")
        container_configs.update(conn, scene.group.id, change, utc_now())
    scene.vault.start()

    answer = scene.vault.new_door().ask()

    assert answer.status == 200
    assert upstream.seen[0].headers["authorization"] == f"Bearer {MODEL_KEY}"
    assert scene.onecli.passed == []


def test_https_of_an_agent_goes_through_the_gateway(scene: Scene, upstream: FakeUpstream) -> None:
    upstream.play = lambda call: call.whole(b"things")
    scene.settings(anthropic_base_url="http://api.model.test")
    allow(scene, f"127.0.0.1:{port_of(upstream)} local")
    scene.vault.start()
    door = scene.vault.new_door()

    body = get_over_tls(door, scene.onecli, port_of(upstream))

    assert body == b"things"
    assert upstream.seen[0].headers["authorization"] == INJECTED
    assert scene.onecli.passed == [(scene.group.id, "GET", f"127.0.0.1:{port_of(upstream)}/things")]


def test_plain_http_of_an_agent_goes_through_the_gateway(
    scene: Scene, upstream: FakeUpstream
) -> None:
    upstream.play = lambda call: call.whole(b"things")
    scene.settings(anthropic_base_url="http://api.model.test")
    allow(scene, f"127.0.0.1:{port_of(upstream)} local")
    scene.vault.start()
    door = scene.vault.new_door()

    answer = door.ask(
        method="GET",
        target=f"{upstream.url}/things?x=1",
        headers={"host": "127.0.0.1", "proxy-authorization": login(door)},
    )

    assert (answer.status, answer.body) == (200, b"things")
    (seen,) = upstream.seen
    assert (seen.target, seen.headers["authorization"]) == ("/things?x=1", INJECTED)
    assert "proxy-authorization" not in seen.headers
    assert [passed[0] for passed in scene.onecli.passed] == [scene.group.id]


def test_our_own_rules_come_first(scene: Scene, upstream: FakeUpstream) -> None:
    scene.settings(anthropic_base_url="http://api.model.test")
    allow(scene, "example.com")
    scene.vault.start()
    door = scene.vault.new_door()

    status, connection = tunnel(door, f"127.0.0.1:{port_of(upstream)}")
    connection.close()

    assert status == 403
    assert scene.onecli.passed == []


def test_login_of_the_proxy_that_has_changed_is_asked_for_again(
    scene: Scene, upstream: FakeUpstream
) -> None:
    scene.vault.start()
    door = scene.vault.new_door()
    assert door.ask().status == 200

    scene.onecli.password = "second"
    scene.onecli.end_tunnels()

    assert door.ask().status == 200
    assert len(upstream.seen) == 2


def test_without_the_gateway_nothing_goes_out(scene: Scene, upstream: FakeUpstream) -> None:
    scene.vault.key()
    scene.vault.start()
    door = scene.vault.new_door()
    scene.onecli.down()

    answer = door.ask()

    assert answer.status == 502
    assert "credential gateway" in answer.error[1]
    assert upstream.seen == []


def test_gateway_that_is_not_required_is_done_without(scene: Scene, upstream: FakeUpstream) -> None:
    scene.settings(anthropic_base_url=upstream.url, gateway_required="false")
    scene.vault.key()
    scene.onecli.down()
    scene.vault.start()

    answer = scene.vault.new_door().ask()

    assert answer.status == 200
    assert upstream.seen[0].headers["authorization"] == f"Bearer {MODEL_KEY}"


def test_subscription_behind_the_gateway_is_refused_in_plain_words(scene: Scene) -> None:
    scene.onecli.env["CLAUDE_CODE_OAUTH_TOKEN"] = "placeholder"
    scene.onecli.left_out.add("ANTHROPIC_API_KEY")
    scene.vault.start()

    answer = scene.vault.new_door().ask()

    assert answer.status == 401
    assert "subscription" in answer.error[1]


@pytest.mark.parametrize("env", [{"HTTPS_PROXY": 5}, {"A": "x\ny"}, {"HTTPS_PROXY": "socks://x"}])
def test_configuration_of_the_wrong_form_lets_nothing_out(
    scene: Scene, upstream: FakeUpstream, env: dict[str, object]
) -> None:
    scene.onecli.env.update(env)
    scene.vault.start()

    answer = scene.vault.new_door().ask()

    assert answer.status == 502
    assert upstream.seen == []


def test_proxy_login_is_in_no_log_and_no_database(scene: Scene) -> None:
    scene.onecli.password = "proxy-login-marker"
    scene.vault.start()
    assert scene.vault.new_door().ask().status == 200
    wait_until(scene.vault.usage, within=15)
    scene.vault.stop()

    for path in scene.vault.home.rglob("*"):
        if path.is_file() and path.parent.name != "secrets":
            content = path.read_bytes()
            assert b"proxy-login-marker" not in content, path
            assert b"oc_marker" not in content, path


def test_connection_that_is_looked_into_goes_through_the_gateway_too(
    scene: Scene, upstream: FakeUpstream
) -> None:
    upstream.play = lambda call: call.whole(b"things")
    scene.settings(anthropic_base_url="http://api.model.test")
    port = port_of(upstream)
    allow(scene, f"GET 127.0.0.1:{port}/things local")
    scene.vault.start()
    door = scene.vault.new_door()

    status, connection = tunnel(door, f"127.0.0.1:{port}")
    with closing(connection):
        assert status == 200
        context = ssl.create_default_context(cafile=str(scene.vault.paths.secrets / "ca/ca.pem"))
        with context.wrap_socket(connection, server_hostname="127.0.0.1") as tls:
            tls.sendall(f"GET /things HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            answer = http.client.HTTPResponse(tls)
            answer.begin()
            assert (answer.status, answer.read()) == (200, b"things")
            tls.sendall(f"GET /other HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            refused = http.client.HTTPResponse(tls)
            refused.begin()
            assert refused.status == 403

    assert upstream.seen[0].headers["authorization"] == INJECTED
    assert scene.onecli.passed == [(scene.group.id, "GET", f"127.0.0.1:{port}/things")]

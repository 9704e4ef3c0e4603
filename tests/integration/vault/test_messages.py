"""Requests through a real vault to a stand-in for the model's address."""

import json
from contextlib import closing

import pytest
from helpers.vault_client import PROMPT
from helpers.vault_process import KEY, VaultProcess
from helpers.vault_upstream import Call, FakeUpstream
from helpers.waiting import wait_until


def test_answer_streams_through_with_the_key_put_in(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    vault.start()
    door = vault.new_door()

    answer = door.ask(target="/v1/messages?beta=true")

    assert answer.status == 200
    assert b"Hello" in answer.body
    assert answer.body.endswith(b'{"type": "message_stop"}\n\n')
    (seen,) = upstream.seen
    assert seen.target == "/v1/messages?beta=true"
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    assert seen.json == PROMPT


def test_first_bytes_pass_before_upstream_has_said_the_rest(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    def play(call: Call) -> None:
        call.begin_stream()
        call.message_start()
        upstream.gate.wait(20)
        call.text("late")
        call.end_stream()

    upstream.play = play
    vault.start()
    connection, response = vault.new_door().begin()

    with closing(connection):
        first = response.readline()
        assert first == b"event: message_start\n"
        upstream.gate.set()
        assert b"late" in response.read()


def test_nothing_of_the_client_but_the_allowed_headers_goes_upstream(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    vault.start()
    door = vault.new_door()
    headers = {
        **door.headers(),
        "x-api-key": door.token,
        "cookie": "a=b",
        "proxy-authorization": "Basic x",
        "forwarded": "for=x",
        "anthropic-beta": "files",
        "x-stainless-lang": "python",
        "connection": "keep-alive, te",
    }

    answer = door.ask(headers=headers)

    assert answer.status == 200
    (seen,) = upstream.seen
    assert set(seen.headers) == {
        "host", "authorization", "accept-encoding", "content-length", "content-type",
        "anthropic-version", "anthropic-beta", "x-stainless-lang",
    }  # fmt: skip
    assert door.token not in str(seen.headers)
    assert answer.headers["request-id"] == "req_1"
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("size", [100_000, 6_000_000])
def test_large_body_arrives_as_it_was(
    vault: VaultProcess, upstream: FakeUpstream, size: int
) -> None:
    vault.start()
    text = "x" * size
    value = {**PROMPT, "messages": [{"role": "user", "content": text}]}

    assert vault.new_door().ask(value).status == 200

    assert upstream.seen[0].body == json.dumps(value).encode()


def test_large_answer_in_one_piece_arrives_as_it_was(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    body = json.dumps({"text": "y" * 5_000_000, "usage": {"input_tokens": 7, "output_tokens": 9}})
    upstream.play = lambda call: call.whole(body.encode())
    vault.start()

    answer = vault.new_door().ask({**PROMPT, "stream": False})

    assert answer.body == body.encode()
    (row,) = vault.wait_for_settlement()
    assert row.tokens == 16


def test_errors_of_upstream_pass_through_as_they_are(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    body = b'{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}'
    upstream.play = lambda call: call.whole(body, 429, [("retry-after", "7")])
    vault.start()

    answer = vault.new_door().ask()

    assert (answer.status, answer.body) == (429, body)
    assert answer.headers["retry-after"] == "7"
    (row,) = vault.wait_for_settlement()
    assert (row.state, row.tokens, row.microusd) == ("settled", 0, 0)


def test_wrong_key_is_upstreams_answer(vault: VaultProcess, upstream: FakeUpstream) -> None:
    body = b'{"type":"error","error":{"type":"authentication_error","message":"invalid key"}}'
    upstream.play = lambda call: call.whole(body, 401)
    vault.start()

    assert vault.new_door().ask().body == body


def test_answer_that_upstream_breaks_off_breaks_off_here_too(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    def play(call: Call) -> None:
        call.begin_stream()
        call.message_start()
        call.text("half of")
        call.break_off()

    upstream.play = play
    vault.start()
    door = vault.new_door()

    said = door.say(_request(door.token))

    assert b"half of" in said
    assert not said.endswith(b"0\r\n\r\n")


def test_client_that_hangs_up_ends_the_call_upstream(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    def play(call: Call) -> None:
        call.begin_stream()
        call.message_start(input_tokens=1000)
        call.wait_for_hang_up()

    upstream.play = play
    vault.start()
    connection, response = vault.new_door().begin()
    response.readline()

    response.close()
    connection.close()

    assert upstream.hung_up.wait(10)
    (row,) = vault.wait_for_settlement()
    assert row.tokens >= 1000


def test_one_connection_serves_many_requests_and_so_does_one_upstream(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    vault.start()
    door = vault.new_door()

    with closing(door.connect()) as connection:
        for _ in range(5):
            connection.request("POST", "/v1/messages", json.dumps(PROMPT), door.headers())
            response = connection.getresponse()
            assert response.status == 200
            response.read()

    assert len(upstream.seen) == 5
    assert upstream.connections == 1


def test_pipelined_requests_are_answered_in_order(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    vault.start()
    door = vault.new_door()

    said = door.say(_request(door.token) * 2 + _request(door.token, last=True))

    assert said.count(b"HTTP/1.1 200") == 3
    assert len(upstream.seen) == 3


def test_other_routes_of_the_runner_work_and_cost_nothing(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    upstream.play = lambda call: call.whole(b'{"input_tokens": 3}')
    vault.start()
    door = vault.new_door()

    assert door.ask(target="/v1/messages/count_tokens?beta=true").status == 200
    assert door.ask(method="GET", target="/v1/models/claude-opus-5").status == 200
    assert door.ask(method="GET", target="/v1/models?limit=20&beta=true").status == 200

    assert [seen.method for seen in upstream.seen] == ["POST", "GET", "GET"]
    assert vault.usage() == []


def test_upstream_that_is_not_there_is_named_and_costs_nothing(vault: VaultProcess) -> None:
    vault.settings(anthropic_base_url="http://127.0.0.1:9/base")
    vault.start()

    answer = vault.new_door().ask()

    assert answer.status == 502
    assert answer.error[0] == "api_error"
    (row,) = vault.wait_for_settlement()
    assert row.tokens == 0


def test_base_path_of_a_compatible_endpoint_is_kept(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    vault.settings(
        anthropic_base_url=f"{upstream.url}/anthropic/", anthropic_key_header="x-api-key"
    )
    vault.start()

    assert vault.new_door().ask().status == 200

    (seen,) = upstream.seen
    assert seen.target == "/anthropic/v1/messages"
    assert seen.headers["x-api-key"] == KEY
    assert "authorization" not in seen.headers


def test_request_is_logged_without_what_was_said(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    vault.start()
    door = vault.new_door()

    door.ask({**PROMPT, "messages": [{"role": "user", "content": "the treasure is buried"}]})
    wait_until(lambda: "model request" in vault.log(), what="the log line")

    (line,) = [line for line in vault.log().splitlines() if "model request" in line]
    for part in ("session=sess-1-000001", "model=claude-haiku-4-5", "status=200", "tokens=120"):
        assert part in line
    assert "treasure" not in vault.log()


def _request(token: str, *, last: bool = False) -> bytes:
    body = json.dumps(PROMPT).encode()
    end = b"connection: close\r\n" if last else b""
    return (
        b"POST /v1/messages HTTP/1.1\r\nhost: door\r\n"
        b"authorization: Bearer " + token.encode() + b"\r\n" + end
        + b"content-length: " + str(len(body)).encode() + b"\r\n\r\n" + body
    )  # fmt: skip

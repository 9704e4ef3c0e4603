import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from helpers.onecli_stand_in import KEY, OneCli, Raw

from nanoclaw.config import CredentialsBackend, HostConfig, load_config
from nanoclaw.containers.gateway.client import Gateway, GatewayError

AGENT = "ag-1"


@pytest.fixture
def gateway(tmp_path: Path, onecli: OneCli) -> Gateway:
    config = HostConfig(
        tmp_path / "home", credentials_backend=CredentialsBackend.ONECLI, onecli_url=onecli.url
    )
    config.paths.ensure()
    return Gateway(config, {"ONECLI_API_KEY": KEY})


@pytest.fixture
def in_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


def say(status: int, body: bytes) -> Raw:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def test_h190_agent_is_made_known_under_its_group_id_first(
    gateway: Gateway, onecli: OneCli, in_dir: Path
) -> None:
    gateway.apply(AGENT, "Andy", in_dir)

    assert onecli.agents == {AGENT: "Andy"}
    assert onecli.asked == ["POST /api/agents", f"GET /api/container-config?agent={AGENT}"]
    assert onecli.keys == {f"Bearer {KEY}"}


def test_h190_known_agent_counts_as_success(gateway: Gateway, onecli: OneCli, in_dir: Path) -> None:
    gateway.apply(AGENT, "Andy", in_dir)

    assert ("GH_TOKEN", "placeholder") in gateway.apply(AGENT, "Andy", in_dir)


@pytest.mark.parametrize("status", [301, 400, 401, 404, 500])
def test_h190_other_failures_stop_the_start(
    gateway: Gateway, onecli: OneCli, in_dir: Path, status: int
) -> None:
    onecli.answers["/api/agents"] = say(status, b"{}")

    with pytest.raises(GatewayError, match=f"status {status}"):
        gateway.apply(AGENT, "Andy", in_dir)


def test_h191_container_gets_variables_and_trust_and_not_the_proxy(
    gateway: Gateway, onecli: OneCli, in_dir: Path
) -> None:
    onecli.env |= {"LD_PRELOAD": "/x.so", "NANOCLAW_HOME": "/x", "SSL_CERT_FILE": "/x"}

    pairs = gateway.apply(AGENT, "Andy", in_dir)

    assert pairs == (("GH_TOKEN", "placeholder"),)
    assert (in_dir / "gateway-ca.pem").read_text() == onecli.ca
    assert [path.name for path in in_dir.iterdir()] == ["gateway-ca.pem"]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b"{", b'{"env": []}', b'{"env": {}}',
        b'{"env": {"HTTPS_PROXY": 1}}',
        b'{"env": {"HTTPS_PROXY": "http://h:1", "caCertificate": "x"}, "caCertificate": "x"}',
        b'{"env": {"HTTPS_PROXY": "ftp://h:1"}}',
        b"[" * 100_000,
        b" " * 2_000_000,
    ],
    ids=range(11),
)  # fmt: skip
def test_h191_answer_of_the_wrong_form_stops_the_start(
    gateway: Gateway, onecli: OneCli, in_dir: Path, body: bytes
) -> None:
    onecli.answers["/api/container-config"] = say(200, body)

    with pytest.raises(GatewayError, match="cannot be used"):
        gateway.apply(AGENT, "Andy", in_dir)
    assert list(in_dir.iterdir()) == []


def test_h191_certificate_that_no_program_loads_stops_the_start(
    gateway: Gateway, onecli: OneCli, in_dir: Path
) -> None:
    pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"
    body = json.dumps({"env": {"HTTPS_PROXY": "http://h:1"}, "caCertificate": pem})
    onecli.answers["/api/container-config"] = say(200, body.encode())

    with pytest.raises(GatewayError, match="caCertificate"):
        gateway.apply(AGENT, "Andy", in_dir)


def test_h189_gateway_that_is_down_stops_the_start(
    gateway: Gateway, onecli: OneCli, in_dir: Path
) -> None:
    onecli.down()

    with pytest.raises(GatewayError, match="cannot be reached"):
        gateway.apply(AGENT, "Andy", in_dir)


def test_h189_where_it_is_not_required_the_start_goes_on_without(
    gateway: Gateway, onecli: OneCli, in_dir: Path
) -> None:
    (in_dir / "gateway-ca.pem").write_text("of earlier")
    onecli.down()
    config = HostConfig(
        gateway.config.home, credentials_backend=CredentialsBackend.ONECLI,
        onecli_url=onecli.url, gateway_required=False,
    )  # fmt: skip

    assert Gateway(config, {}).apply(AGENT, "Andy", in_dir) == ()
    assert list(in_dir.iterdir()) == []


def test_h190_answer_that_drips_is_not_waited_for(
    gateway: Gateway, onecli: OneCli, in_dir: Path
) -> None:
    never = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("content-length", "1000")
        handler.end_headers()
        for _ in range(1000):
            handler.wfile.write(b" ")
            never.wait(0.05)

    onecli.answers["/api/agents"] = drip

    with pytest.raises(GatewayError, match="no answer within"):
        replace(gateway, seconds=0.5).apply(AGENT, "Andy", in_dir)


def test_native_backend_asks_nobody(onecli: OneCli, in_dir: Path, tmp_path: Path) -> None:
    config = HostConfig(tmp_path / "home", onecli_url=onecli.url)

    assert Gateway(config, {}).apply(AGENT, "Andy", in_dir) == ()
    assert onecli.asked == []


def test_h193_usual_address_is_that_of_the_service(tmp_path: Path) -> None:
    config = load_config(home=tmp_path, environment={"NANOCLAW_CREDENTIALS_BACKEND": "onecli"})

    assert config.onecli_url == "https://app.onecli.sh"
    assert config.gateway_required
    assert config.model_key_present


def test_key_is_found_in_the_environment_then_env_file_then_secrets(tmp_path: Path) -> None:
    from nanoclaw.containers.gateway.key import read_key

    config = HostConfig(tmp_path)
    config.paths.ensure()
    assert read_key(config, {}) is None
    secret = config.paths.secrets / "onecli-api-key"
    secret.write_text("oc_secret\n")
    secret.chmod(0o600)
    assert read_key(config, {}) == "oc_secret"
    config.paths.env_file.write_text("ONECLI_API_KEY='oc_file'\n")
    assert read_key(config, {}) == "oc_file"
    assert read_key(config, {"ONECLI_API_KEY": "oc_env"}) == "oc_env"

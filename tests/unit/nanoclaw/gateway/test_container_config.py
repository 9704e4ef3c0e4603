import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoclaw.containers.gateway.decide import (
    BadGatewayAnswer,
    GatewayConfig,
    parse_container_config,
    parse_gateway_url,
    parse_proxy,
)

URL = "http://127.0.0.1:10254"
PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
PROXY = "http://ag-1:pass%2Fword@host.docker.internal:10255"


def parse(env: dict[str, object] | None = None, **more: object) -> GatewayConfig:
    return parse_container_config({"env": {"HTTPS_PROXY": PROXY, **(env or {})}, **more}, URL)


def test_h191_proxy_is_taken_out_and_other_variables_are_given() -> None:
    found = parse({"GH_TOKEN": "placeholder"}, caCertificate=PEM)

    assert found.environment == (("GH_TOKEN", "placeholder"),)
    assert found.withheld == ("HTTPS_PROXY",)
    assert found.ca == PEM
    assert found.proxy is not None
    assert (found.proxy.host, found.proxy.port, found.proxy.tls) == ("127.0.0.1", 10255, False)
    kind, _, encoded = found.proxy.authorization.partition(" ")
    assert (kind, base64.b64decode(encoded)) == ("Basic", b"ag-1:pass/word")


def test_login_is_in_no_repr() -> None:
    assert "Basic" not in repr(parse())
    assert "pass" not in repr(parse())


@pytest.mark.parametrize(
    "name",
    [
        "PATH", "HOME", "LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONSTARTUP",
        "NANOCLAW_HOME", "NANOCLAW", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "NO_PROXY",
        "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO", "DENO_CERT", "CARGO_HTTP_CAINFO", "PIP_CERT",
        "AWS_CA_BUNDLE", "NODE_OPTIONS", "BASH_ENV", "GIT_SSH_COMMAND", "npm_config_cafile",
        "ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN", "TZ", "TMPDIR",
    ],
)  # fmt: skip
def test_variable_that_would_override_ours_is_withheld(name: str) -> None:
    found = parse({name: "http://h:1"})

    assert name in found.withheld
    assert found.environment == ()


@pytest.mark.parametrize(
    "value",
    [
        None, [], "x", {}, {"env": None}, {"env": {}}, {"env": {"A": "b"}},
        {"env": {"HTTPS_PROXY": ""}}, {"env": {"HTTPS_PROXY": 1}},
        {"env": {"HTTPS_PROXY": "socks5://h:1"}}, {"env": {"HTTPS_PROXY": "http://"}},
        {"env": {"HTTPS_PROXY": "http://h:99999"}}, {"env": {"HTTPS_PROXY": "http://h:0"}},
        {"env": {"HTTPS_PROXY": "http://h:1/path"}},
        {"env": {"HTTPS_PROXY": "http://h:1", "A\nB": "x"}},
        {"env": {"HTTPS_PROXY": "http://h:1", "A": "x\ny"}},
        {"env": {"HTTPS_PROXY": "http://h:1", "A": "x" * 10_000}},
        {"env": {"HTTPS_PROXY": "http://h:1", "A": None}},
        {"env": {"HTTPS_PROXY": "http://h:1"} | {f"A{n}": "x" for n in range(200)}},
        {"env": {"HTTPS_PROXY": "http://h:1"}, "caCertificate": 1},
        {"env": {"HTTPS_PROXY": "http://h:1"}, "caCertificate": "no certificate"},
        {"env": {"HTTPS_PROXY": "http://h:1"}, "caCertificate": "x" * 10**6},
        {"env": {"HTTPS_PROXY": "http://h:1"},
         "caCertificate": PEM + "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"},
    ],
    ids=range(23),
)  # fmt: skip
def test_answer_of_the_wrong_form_is_unusable(value: object) -> None:
    with pytest.raises(BadGatewayAnswer):
        parse_container_config(value, URL)


def test_subscription_is_recognised() -> None:
    assert parse({"CLAUDE_CODE_OAUTH_TOKEN": "placeholder"}).subscription
    assert not parse({"ANTHROPIC_API_KEY": "placeholder"}).subscription


def test_text_around_certificates_is_dropped() -> None:
    assert parse(caCertificate=f"subject=x\n{PEM}\nissuer=y\n{PEM}").ca == PEM + PEM


def test_proxy_over_tls_and_without_login() -> None:
    found = parse_proxy("https://proxy.example", URL)

    assert (found.host, found.port, found.tls, found.authorization) == (
        "proxy.example", 443, True, "",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://127.0.0.1:10255/", "http://127.0.0.1:10255"),
        ("https://gateway.example", "https://gateway.example"),
        ("http://host.docker.internal:10255", "http://127.0.0.1:10255"),
        ("http://[::1]:10255", "http://[::1]:10255"),
    ],
)
def test_h231_gateway_url_is_read(text: str, expected: str) -> None:
    assert parse_gateway_url({"url": text}, URL) == expected


@pytest.mark.parametrize(
    "value",
    [None, [], {}, {"url": 1}, {"url": ""}, {"url": "file:///etc"}, {"url": "http://u:p@h"},
     {"url": "http://h/?q"}, {"url": "http://h h"}],
    ids=range(9),
)  # fmt: skip
def test_h231_address_that_is_none_is_refused(value: object) -> None:
    with pytest.raises(BadGatewayAnswer):
        parse_gateway_url(value, URL)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=10,
)
NAMES = st.sampled_from(["env", "HTTPS_PROXY", "caCertificate", "PATH", "A"]) | st.text(max_size=5)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(NAMES, JSON | st.dictionaries(NAMES, JSON | st.just(PROXY))))
def test_any_answer_is_a_configuration_or_unusable(value: object) -> None:
    try:
        found = parse_container_config(value, URL)
    except BadGatewayAnswer:
        return
    assert found.proxy is not None
    assert not {"PATH", "HTTPS_PROXY"} & {name for name, _ in found.environment}

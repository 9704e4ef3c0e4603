import base64
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.clock import utc_now
from nanoclaw.db.services import Service, ServiceKind
from nanoclaw.policy import services as rules
from nanoclaw.policy.service_presets import PRESETS
from nanoclaw.policy.services import ServiceError, header_value, refusal

SERVICE = Service(
    "github", ServiceKind.HEADER, ("api.github.com",), "authorization", "Bearer {secret}",
    "github-token", utc_now(), utc_now(), "host",
)  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["host", "Content-Length", "transfer-encoding", "Connection", "upgrade", "Proxy-Authorization",
     "Sec-Fetch-Site", "cookie", "expect", "te", "x key", "x\r\nevil", "", "x:y", "é", "a" * 65],
)  # fmt: skip
def test_header_that_says_how_a_request_is_sent_is_refused(name: str) -> None:
    with pytest.raises(ServiceError):
        rules.checked_header(name)


def test_header_is_kept_in_lower_case() -> None:
    assert rules.checked_header("X-Api-Key") == "x-api-key"


@pytest.mark.parametrize(
    "text",
    ["Bearer", "{secret}{secret}", "{secret} {other}", "Bearer {secret}\r\nX-Evil: 1", "{0}",
     "\t{secret}", "{secret}é", "a" * 600 + "{secret}"],
)  # fmt: skip
def test_template_that_is_not_one_is_refused(text: str) -> None:
    with pytest.raises(ServiceError):
        rules.checked_template(text)


@pytest.mark.parametrize("secret", ["a\r\nX-Evil: 1", "a\nb", "a\0b", "", " a", "a ", "é", "\x7f"])
@pytest.mark.parametrize("kind", ServiceKind)
def test_secret_that_would_end_a_header_goes_nowhere(secret: str, kind: ServiceKind) -> None:
    with pytest.raises(ServiceError) as caught:
        header_value(replace(SERVICE, kind=kind), secret)

    assert "nanoclaw secrets set github-token" in str(caught.value)
    assert "Evil" not in str(caught.value)


@settings(deadline=None, max_examples=200)
@given(st.text(), st.sampled_from(["Bearer {secret}", "{secret}", "user:{secret}"]))
def test_value_is_one_line_of_plain_characters_or_nothing(secret: str, template: str) -> None:
    for kind in ServiceKind:
        try:
            value = header_value(replace(SERVICE, kind=kind, template=template), secret)
        except ServiceError:
            continue
        assert value.isascii()
        assert value.isprintable()


def test_basic_authentication_is_user_and_secret_in_base64() -> None:
    service = replace(
        SERVICE, kind=ServiceKind.BASIC, template=rules.checked_user("x-access-token")
    )

    value = header_value(service, "abc")

    assert base64.b64decode(value.removeprefix("Basic ")) == b"x-access-token:abc"


@pytest.mark.parametrize("user", ["", "a:b", "{secret}", "a\nb"])
def test_user_name_that_changes_the_meaning_is_refused(user: str) -> None:
    with pytest.raises(ServiceError):
        rules.checked_user(user)


def test_braces_in_a_secret_are_no_template() -> None:
    assert header_value(SERVICE, "{secret}") == "Bearer {secret}"


@pytest.mark.parametrize(
    ("text", "normal"),
    [("API.GitHub.com", "api.github.com"), ("*.Example.ORG", "*.example.org"),
     ("192.0.2.7", "192.0.2.7"), ("bücher.example", "xn--bcher-kva.example")],
)  # fmt: skip
def test_host_is_kept_in_its_one_spelling(text: str, normal: str) -> None:
    assert rules.checked_hosts([text]) == (normal,)


@pytest.mark.parametrize(
    "text", ["*", "*.com", "https://a.example", "a.example/path", "a b", "169.254.169.254",
             "0x7f.1", "*.github.io"]
)  # fmt: skip
def test_host_that_is_not_one_is_refused(text: str) -> None:
    with pytest.raises(ServiceError):
        rules.checked_hosts([text])


@pytest.mark.parametrize("text", ["0", "65536", "http", "-1", "4 43", "٤٤٣"])
def test_port_that_is_not_one_is_refused(text: str) -> None:
    with pytest.raises(ServiceError):
        rules.checked_ports([text])


@pytest.mark.parametrize(
    ("method", "target", "words"),
    [
        ("GET", "/repos/a?x=1", None),
        ("GET", "/repos", None),
        ("GET", "/reposx", "below /repos"),
        ("POST", "/repos/a", "for GET only"),
        ("GET", "/repos/../user", "unclear"),
        ("GET", "/repos/%2E%2E/user", "unclear"),
        ("GET", "/repos//user", "unclear"),
        ("GET", "/repos\\..\\user", "unclear"),
    ],
)
def test_limits_of_a_service_hold_byte_by_byte(method: str, target: str, words: str | None) -> None:
    limited = replace(SERVICE, methods=("GET",), paths=("/repos",))

    found = refusal(limited, method, target)

    assert found is None if words is None else words in (found or "")


@pytest.mark.parametrize("name", PRESETS)
def test_preset_is_a_service_that_could_be_written_by_hand(name: str) -> None:
    preset = PRESETS[name]

    assert rules.checked_name(name) == name
    assert set(rules.checked_hosts(preset.hosts)) == set(preset.hosts)
    assert rules.checked_header(preset.header) == preset.header
    assert rules.checked_template(preset.template) == preset.template
    if preset.user is not None:
        rules.checked_user(preset.user)

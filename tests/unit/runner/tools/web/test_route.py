import ssl
from pathlib import Path

import pytest

from runner.tools.web.route import proxy_for, tls_context

PROXY = "http://127.0.0.1:3128"


def test_each_scheme_has_its_proxy() -> None:
    environment = {"HTTP_PROXY": "http://one:1", "https_proxy": "two:2"}

    assert proxy_for("http://example.org/", environment) == "http://one:1"
    assert proxy_for("https://example.org/", environment) == "http://two:2"


def test_one_proxy_may_serve_all() -> None:
    assert proxy_for("https://example.org/", {"ALL_PROXY": PROXY}) == PROXY


def test_without_a_proxy_the_way_is_direct() -> None:
    assert proxy_for("https://example.org/", {}) is None
    assert proxy_for("nonsense", {"ALL_PROXY": PROXY}) is None


@pytest.mark.parametrize(
    ("entry", "url", "direct"),
    [
        ("*", "http://example.org/", True),
        ("example.org", "http://example.org/", True),
        ("example.org", "http://a.example.org/", True),
        (".example.org", "http://a.example.org/", True),
        ("*.example.org", "http://a.example.org/", True),
        ("example.org", "http://badexample.org/", False),
        ("example.org:81", "http://example.org:81/", True),
        ("example.org:81", "http://example.org/", False),
        ("10.0.0.0/8", "http://10.1.1.1/", True),
        ("10.0.0.0/8", "http://11.1.1.1/", False),
        ("10.0.0.0/8", "http://example.org/", False),
        ("::1", "http://[::1]/", True),
        (" , ", "http://example.org/", False),
    ],
)
def test_exceptions_are_direct(entry: str, url: str, direct: bool) -> None:
    environment = {"ALL_PROXY": PROXY, "NO_PROXY": f"other.org,{entry}"}

    assert (proxy_for(url, environment) is None) == direct


def test_certificates_come_from_the_named_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        tls_context({"SSL_CERT_FILE": str(tmp_path / "none.pem")})

    assert tls_context({}).verify_mode == ssl.CERT_REQUIRED

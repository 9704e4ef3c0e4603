import asyncio
import datetime
import gzip
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from helpers.mcp_scene import FolderSpool
from helpers.web_proxy import Page, Web

from runner.toolbox.base import DocumentPart, ImagePart, ToolCall, ToolResult
from runner.tools.web import fetch, reading
from runner.tools.web.fetch import WebFetch

SITE = "http://site.example.org"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20


@pytest.fixture
def web() -> Iterator[Web]:
    with Web() as web:
        yield web


def fetched(web: Web, url: str, folder: Path, **environment: str) -> ToolResult:
    tool = WebFetch({**web.environment, **environment}, FolderSpool(folder))
    return asyncio.run(tool.run({"url": url}, ToolCall("1")))


def test_a_page_is_read_through_the_proxy(web: Web, tmp_path: Path) -> None:
    html = "<title>News</title><h1>Today</h1><p>It <a href='/more'>rains</a>.</p>"
    web.page("/", html, content_type="text/html; charset=utf-8")

    result = fetched(web, f"{SITE}/", tmp_path)

    assert not result.is_error
    assert result.text == (
        f"{SITE}/\nHTTP 200 OK, text/html\n\n# News\n\n# Today\n\nIt rains ({SITE}/more)."
    )
    assert web.proxied == ["GET site.example.org"]


def test_nothing_is_sent_but_a_plain_question(web: Web, tmp_path: Path) -> None:
    web.page("/", "x", content_type="text/plain", set_cookie="a=b")

    fetched(web, f"{SITE}/", tmp_path)
    fetched(web, f"{SITE}/", tmp_path)

    [_, (_, headers)] = web.seen
    assert "cookie" not in headers
    assert "authorization" not in headers


def test_json_and_text_stay_as_they_are(web: Web, tmp_path: Path) -> None:
    web.page("/j", '{"a": "<b>"}', content_type="application/problem+json")
    web.page("/t", "grün".encode("latin-1"), content_type="text/plain; charset=ISO-8859-1")
    web.page("/u", "no type")

    assert fetched(web, f"{SITE}/j", tmp_path).text.endswith('\n\n{"a": "<b>"}')
    assert fetched(web, f"{SITE}/t", tmp_path).text.endswith("\n\ngrün")
    assert fetched(web, f"{SITE}/u", tmp_path).text.endswith("\n\nno type")


def test_images_and_documents_are_parts(web: Web, tmp_path: Path) -> None:
    web.page("/i", PNG, content_type="text/html")
    web.page("/d", b"%PDF-1.4 x", content_type="application/pdf")

    image = fetched(web, f"{SITE}/i", tmp_path)
    document = fetched(web, f"{SITE}/d", tmp_path)

    assert isinstance(image.parts[1], ImagePart)
    assert image.parts[1].media_type == "image/png"
    assert isinstance(document.parts[1], DocumentPart)


def test_other_files_are_kept(web: Web, tmp_path: Path) -> None:
    web.page("/z", b"PK\0\1", content_type="application/zip")

    result = fetched(web, f"{SITE}/z", tmp_path)

    assert f"4 bytes that are no text, kept in {tmp_path}/1.bin" in result.text
    assert (tmp_path / "1.bin").read_bytes() == b"PK\0\1"


def test_a_long_page_is_cut_and_kept(web: Web, tmp_path: Path) -> None:
    web.page("/", "x" * 200_000, content_type="text/plain")

    result = fetched(web, f"{SITE}/", tmp_path)

    assert len(result.text) < 61_000
    assert (tmp_path / "1.txt").stat().st_size > 200_000


def test_a_compressed_page_is_unpacked(web: Web, tmp_path: Path) -> None:
    web.page("/", gzip.compress(b"small"), content_type="text/plain", content_encoding="gzip")

    assert fetched(web, f"{SITE}/", tmp_path).text.endswith("small")


@pytest.mark.parametrize(
    ("body", "encoding", "problem"),
    [
        (gzip.compress(b"\0" * 50_000_000), "gzip", "larger than 10 MB"),
        (b"no gzip at all", "gzip", "compression is damaged"),
        (b"x", "br", "encoded as br"),
    ],
)
def test_hostile_compression_is_refused(
    web: Web, tmp_path: Path, body: bytes, encoding: str, problem: str
) -> None:
    web.page("/", body, content_type="text/plain", content_encoding=encoding)

    result = fetched(web, f"{SITE}/", tmp_path)

    assert result.is_error
    assert problem in result.text


def test_a_page_that_is_too_large_is_refused(web: Web, tmp_path: Path) -> None:
    web.page("/", b"x" * (fetch.MAX_BYTES + 1), content_type="text/plain")

    assert "larger than 10 MB" in fetched(web, f"{SITE}/", tmp_path).text


def test_a_refusal_of_the_server_is_an_error_with_its_words(web: Web, tmp_path: Path) -> None:
    result = fetched(web, f"{SITE}/none", tmp_path)

    assert result.is_error
    assert "HTTP 404" in result.text
    assert result.text.endswith("not here")


def test_redirects_are_followed_and_the_last_address_is_shown(web: Web, tmp_path: Path) -> None:
    web.page("/a", status=302, location="/b")
    web.page("/b", status=308, location="http://other.example.com/c")
    web.page("/c", "there", content_type="text/plain")

    result = fetched(web, f"{SITE}/a", tmp_path)

    assert result.text.startswith("http://other.example.com/c\n")
    assert web.proxied == ["GET site.example.org"] * 2 + ["GET other.example.com"]


def test_redirects_without_end_are_given_up(web: Web, tmp_path: Path) -> None:
    web.page("/", status=302, location="/")

    result = fetched(web, f"{SITE}/", tmp_path)

    assert "redirects more than 5 times" in result.text
    assert len(web.proxied) == 6


@pytest.mark.parametrize(
    "target",
    ["http://127.0.0.1/", "http://169.254.169.254/latest", "http://[::1]/", "file:///etc/passwd",
     "//localhost/x", "http://2130706433/"],
)  # fmt: skip
def test_a_redirect_to_somewhere_near_is_refused(web: Web, tmp_path: Path, target: str) -> None:
    web.page("/", status=302, location=target)

    result = fetched(web, f"{SITE}/", tmp_path)

    assert result.is_error
    assert "the page redirects, and " in result.text
    assert web.proxied == ["GET site.example.org"]


@pytest.mark.parametrize("url", ["http://localhost:1/", "http://10.0.0.1/", "ftp://a.org/", ""])
def test_addresses_near_us_are_not_even_asked_for(web: Web, tmp_path: Path, url: str) -> None:
    assert fetched(web, url, tmp_path).is_error
    assert web.proxied == []


def test_without_a_proxy_there_is_no_way_to_the_web(web: Web, tmp_path: Path) -> None:
    result = fetched(web, f"{SITE}/", tmp_path, HTTP_PROXY="")

    assert result.text == (
        "Error: this agent has no open way to the web. If it needs one, ask the operator to open"
        " it for this group"
    )
    assert web.seen == []


def test_an_exception_from_the_proxy_is_no_way_around_it(web: Web, tmp_path: Path) -> None:
    assert "no open way" in fetched(web, f"{SITE}/", tmp_path, NO_PROXY="*").text


def test_a_refusal_of_the_gateway_says_whom_to_ask(web: Web, tmp_path: Path) -> None:
    web.refused.add("closed.example.org")

    plain = fetched(web, "http://closed.example.org/", tmp_path)
    tunnel = fetched(web, "https://closed.example.org/", tmp_path)

    assert "HTTP 403" in plain.text
    assert "ask the operator to allow it" in tunnel.text


def test_a_gateway_that_is_gone_is_told(web: Web, tmp_path: Path) -> None:
    result = fetched(web, f"{SITE}/", tmp_path, HTTP_PROXY="http://127.0.0.1:9")

    assert "could not be read" in result.text


def test_a_server_that_never_ends_its_answer_is_given_up(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "TOTAL_SECONDS", 0.5)

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        while not web.stopping.wait(0.05):
            handler.wfile.write(b"x")
            handler.wfile.flush()

    web.pages["/"] = Page(write=drip)

    assert "did not answer within 0.5 s" in fetched(web, f"{SITE}/", tmp_path).text


@pytest.mark.parametrize(
    "answer",
    [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort",
     b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000 + b"\r\n"],
)  # fmt: skip
def test_a_broken_answer_is_an_error(web: Web, tmp_path: Path, answer: bytes) -> None:
    def write(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(answer)

    web.pages["/"] = Page(write=write)

    assert fetched(web, f"{SITE}/", tmp_path).is_error


def test_a_page_made_to_keep_the_parser_busy_is_read_crudely(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PARSE_SECONDS", 1)
    web.page("/", "<p>Words first.</p>" + "<a " * 100_000, content_type="text/html")

    result = fetched(web, f"{SITE}/", tmp_path)

    assert not result.is_error
    assert "Words first." in result.text


def test_secure_pages_go_through_the_tunnel_with_our_certificates(web: Web, tmp_path: Path) -> None:
    file = certificate(tmp_path, "secure.example.org")
    with TlsServer(web, file):
        web.page("/", "secret", content_type="text/plain")
        trusted = fetched(web, "https://secure.example.org/", tmp_path, SSL_CERT_FILE=str(file))
        unknown = fetched(web, "https://secure.example.org/", tmp_path)
        other = fetched(web, "https://wrong.example.org/", tmp_path, SSL_CERT_FILE=str(file))

    assert trusted.text.endswith("secret")
    assert web.proxied[0] == "CONNECT secure.example.org"
    assert "certificate verify failed" in unknown.text
    assert "certificate verify failed" in other.text


class TlsServer:
    """The web's server behind TLS, for the length of a test."""

    def __init__(self, web: Web, file: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        self._web = web
        self._server = web.second_server()
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def __enter__(self) -> None:
        port = self._server.server_address[1]
        assert isinstance(port, int)
        self._web.tls_port = port
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def __exit__(self, *error: Any) -> None:
        self._server.shutdown()
        self._server.server_close()


def certificate(folder: Path, host: str) -> Path:
    """One file with a key and a certificate that it signed itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=365 * 60))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName(host), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file

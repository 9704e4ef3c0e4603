"""Servers on loopback for the proxy's tests: raw ones that note what they got, and HTTPS ones whose
certificate comes from a throw-away authority."""

import contextlib
import ipaddress
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from contract.clock import utc_now

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
Behaviour = Callable[[socket.socket], None]


@dataclass(slots=True)
class RawServer:
    """Accepts, lets a function talk, and keeps what was received."""

    port: int
    received: list[bytes] = field(default_factory=list)
    connections: int = 0


@contextmanager
def raw_server(
    behaviour: Callable[[RawServer, socket.socket], None], host: str = "127.0.0.1"
) -> Iterator[RawServer]:
    listener = socket.create_server((host, 0))
    listener.settimeout(20)
    made = RawServer(listener.getsockname()[1])
    threads: list[threading.Thread] = []
    open_sockets: list[socket.socket] = []

    def talk(connection: socket.socket) -> None:
        with contextlib.closing(connection), contextlib.suppress(OSError):
            behaviour(made, connection)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            made.connections += 1
            connection.settimeout(20)
            open_sockets.append(connection)
            threads.append(threading.Thread(target=talk, args=(connection,)))
            threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield made
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join(20)
        for connection in open_sockets:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(20)


def http_answer(answer: bytes = OK) -> Callable[[RawServer, socket.socket], None]:
    """Reads one request, to the end of its body, and answers."""

    def behave(server: RawServer, connection: socket.socket) -> None:
        server.received.append(_read_request(connection))
        connection.sendall(answer)

    return behave


def _read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data and (piece := connection.recv(65536)):
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    lower = head.lower()
    if b"content-length: " in lower:
        length = int(lower.split(b"content-length: ")[1].split(b"\r\n")[0])
        while len(body) < length and (piece := connection.recv(65536)):
            body += piece
    elif b"transfer-encoding: chunked" in lower:
        while not body.endswith(b"0\r\n\r\n") and (piece := connection.recv(65536)):
            body += piece
    return head + b"\r\n\r\n" + body


def echo(server: RawServer, connection: socket.socket) -> None:
    """Bytes come back until their end; then a word, and its own end."""
    while data := connection.recv(65536):
        connection.sendall(data)
    connection.sendall(b"[end]")


# --- certificates -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TestAuthority:
    """``ca`` is the file that clients are to trust."""

    __test__ = False
    ca: Path
    folder: Path
    _key: ec.EllipticCurvePrivateKey
    _name: x509.Name

    def server_context(self, *names: str) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _sign(self._name, self._key, key, names)
        file = self.folder / f"{names[0]}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


def test_authority(folder: Path) -> TestAuthority:
    folder.mkdir(exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test authority")])
    file = folder / "ca.pem"
    file.write_bytes(_sign(name, key, key, ()).public_bytes(serialization.Encoding.PEM))
    return TestAuthority(file, folder, key, name)


test_authority.__test__ = False  # type: ignore[attr-defined]


def _sign(
    issuer: x509.Name,
    signer: ec.EllipticCurvePrivateKey,
    key: ec.EllipticCurvePrivateKey,
    names: tuple[str, ...],
) -> x509.Certificate:
    now = utc_now()
    subject = issuer if not names else x509.Name([])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if names:
        alternatives = [_general(name) for name in names]
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=True)
    else:
        usage = x509.KeyUsage(
            digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
            key_encipherment=False, data_encipherment=False, key_agreement=False,
            encipher_only=False, decipher_only=False,
        )  # fmt: skip
        builder = builder.add_extension(usage, critical=True)
    return builder.sign(signer, hashes.SHA256())


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


# --- HTTP and HTTPS -----------------------------------------------------------------------------


class _QuietServer(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away are no news."""


@contextmanager
def web_server(
    handler: Callable[..., BaseHTTPRequestHandler], host: str, context: ssl.SSLContext | None
) -> Iterator[int]:
    """Its port."""
    server = _QuietServer((host, 0), handler)
    server.daemon_threads = True
    if context is not None:
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.05))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join(20)
        server.server_close()


def tool_environment(home: Path, ca: Path, proxies: dict[str, str]) -> dict[str, str]:
    """As a program in the container finds it, with a home of its own."""
    home.mkdir(exist_ok=True)
    return {
        "PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8",
        "SSL_CERT_FILE": str(ca), "CURL_CA_BUNDLE": str(ca), "GIT_SSL_CAINFO": str(ca),
        "PIP_CERT": str(ca), "NODE_EXTRA_CA_CERTS": str(ca), "npm_config_cafile": str(ca),
        "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0",
        **proxies,
    }  # fmt: skip

"""A certificate that exists in memory, as OpenSSL's side of a server.

Used by ``authority``. The standard library loads certificates from files only; the file is one that
has no name where the system can do that, and else one in a private folder for a moment.
"""

import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

PROTOCOL = "http/1.1"


def server_context(certificate: str, key: str, host: str, folder: Path) -> ssl.SSLContext:
    """TLS 1.2 and up, HTTP/1.1 only, and for nobody who asks for another server's name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols([PROTOCOL])
    with _file(certificate + key, folder) as path:
        context.load_cert_chain(path)
    nameless = _is_address(host)

    def check_name(
        connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext
    ) -> int | None:
        if name is None:
            return None if nameless else ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        fits = name.lower().removesuffix(".") == host
        return None if fits else ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

    context.sni_callback = check_name
    return context


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


@contextmanager
def _file(text: str, folder: Path) -> Iterator[str]:
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("leaf", os.MFD_CLOEXEC)
        try:
            os.write(fd, text.encode())
            yield f"/proc/self/fd/{fd}"
        finally:
            os.close(fd)
        return
    with tempfile.NamedTemporaryFile("w", dir=folder, prefix=".leaf-") as file:
        file.write(text)
        file.flush()
        yield file.name

"""The way out of the container: which proxy, which certificates.

Used by the web_fetch tool and for MCP servers with an address. Pure except for reading certificate
files. The process's variables are handed in and never read from here, and the HTTP library is told
not to look at them either, so that one place decides what goes through the gateway (R-275).
"""

import ssl
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

_EVERYWHERE = "*"


def proxy_for(url: str, environment: Mapping[str, str]) -> str | None:
    """The proxy's address, or None for a direct connection."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if not host or _is_excepted(host, parts.port, _value(environment, "no_proxy")):
        return None
    scheme = parts.scheme.lower()
    proxy = _value(environment, f"{scheme}_proxy") or _value(environment, "all_proxy")
    if not proxy:
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def tls_context(environment: Mapping[str, str]) -> ssl.SSLContext:
    """Trusts what the image trusts, or what the usual variables name; raises OSError for a file
    that is not there."""
    file = next((environment[key] for key in _CA_FILES if environment.get(key)), None)
    folder = environment.get("SSL_CERT_DIR") or None
    return ssl.create_default_context(cafile=file, capath=folder)


_CA_FILES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def _value(environment: Mapping[str, str], name: str) -> str:
    return (environment.get(name) or environment.get(name.upper()) or "").strip()


def _is_excepted(host: str, port: int | None, exceptions: str) -> bool:
    return any(
        _matches(host, port, entry.strip().lower()) for entry in exceptions.split(",") if entry
    )


def _matches(host: str, port: int | None, entry: str) -> bool:
    if entry == _EVERYWHERE:
        return True
    if "/" in entry:
        try:
            return ip_address(host) in ip_network(entry, strict=False)
        except ValueError:
            return False
    name, colon, number = entry.rpartition(":")
    if colon and number.isdecimal() and ":" not in name:
        if port != int(number):
            return False
        entry = name
    entry = entry.removeprefix("*").removeprefix(".").strip("[]")
    return bool(entry) and (host == entry or host.endswith(f".{entry}"))

"""What a build inside the engine needs to reach package indexes from this machine's network.

Pure, except for finding the certificate file. Proxies, package indexes and the certificate
authority of a closed network are taken from the environment of whoever builds, only when they are
set there. An address with a password is not passed on: build arguments can be read in the image.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
"""The engine knows these by itself and leaves them out of the image's history."""
INDEXES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "NPM_CONFIG_REGISTRY")
OTHERS = ("PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT")
CERTIFICATES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")


@dataclass(frozen=True, slots=True)
class BuildNetwork:
    """Build arguments, the certificate file if there is one, and names that were not passed on."""

    arguments: Mapping[str, str]
    certificates: Path | None
    withheld: tuple[str, ...]


def read_build_network(environment: Mapping[str, str]) -> BuildNetwork:
    """Every variable that is set and makes sense inside a build."""
    arguments = {name: environment[name] for name in (*PROXIES, *OTHERS) if environment.get(name)}
    withheld: list[str] = []
    for name in INDEXES:
        given = environment.get(name, "").split()
        # A folder of this machine does not exist in there.
        usable = [url for url in given if "://" in url and not url.startswith("file:")]
        if any(_has_password(url) for url in usable):
            withheld.append(name)
        elif usable:
            arguments[name] = " ".join(usable)
    return BuildNetwork(arguments, _certificates(environment), tuple(withheld))


def _has_password(url: str) -> bool:
    host = url.partition("://")[2].partition("/")[0]
    return "@" in host


def _certificates(environment: Mapping[str, str]) -> Path | None:
    for name in CERTIFICATES:
        path = Path(environment.get(name, ""))
        if environment.get(name) and path.is_file():
            return path
    return None

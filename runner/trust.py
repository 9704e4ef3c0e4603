"""Makes what the agent starts trust the vault's certificates, besides those that the image trusts.

Called by ``program`` at the start of a runner that has a door. Most tools take one file instead of
the system's, so that file holds both. Where the vault looks into no connection there is no
certificate of its own, and nothing is set. The browser has a store of its own and is not reached.
"""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from contract.layout import CA_FILE, GATEWAY_CA_FILE, RunnerPaths
from runner.log import fields

BUNDLE = "ca-bundle.pem"
"""In the runner's folder: one per session, also where agents share a machine's /tmp."""
SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)
WHOLE = (
    "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "PIP_CERT",
    "AWS_CA_BUNDLE", "DENO_CERT", "CARGO_HTTP_CAINFO", "npm_config_cafile",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
)  # fmt: skip
"""Variables that replace the system's certificates."""
ADDED = "NODE_EXTRA_CA_CERTS"
"""The one that adds to them."""
MAX_BYTES = 4 * 1024 * 1024

_log = logging.getLogger(__name__)


def trusted(paths: RunnerPaths, environment: Mapping[str, str]) -> dict[str, str]:
    """Variables for everything that the agent starts; none without certificates of the vault."""
    found = [paths.in_dir / name for name in (CA_FILE, GATEWAY_CA_FILE)]
    found = [file for file in found if file.exists()]
    try:
        certificates = b"".join(_read(file) for file in found)
    except OSError as error:
        _log.warning("the vault's certificates are not read", extra=fields(reason=error))
        return {}
    if not found:
        return {}
    own = found[0]
    bundle = paths.runner_dir / BUNDLE
    try:
        _write(bundle, _system(environment) + certificates)
    except OSError as error:
        _log.warning("no file of trusted certificates", extra=fields(reason=error))
        return {ADDED: str(own)}
    added = own if len(found) == 1 else bundle
    return {**dict.fromkeys(WHOLE, str(bundle)), ADDED: str(added)}


def _system(environment: Mapping[str, str]) -> bytes:
    """What is trusted anyway; nothing where the image has no certificates."""
    for name in (environment.get("SSL_CERT_FILE", ""), *SYSTEM_BUNDLES):
        try:
            if name and (content := _read(Path(name))).strip():
                return content.rstrip() + b"\n"
        except OSError:
            continue
    return b""


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES)


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, and never through a link that the agent has left there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
    beside.replace(path)

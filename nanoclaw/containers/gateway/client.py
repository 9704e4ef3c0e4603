"""What a start of an agent asks OneCLI: to know the agent, and how its traffic reaches it.

Called by ``sweep.starter`` on a worker thread, because everything here may take up to its limit of
seconds. An answer that does not come whole and well-formed within that is a failure (H-190, H-191).
The key goes to the configured address only: redirects are not followed.
"""

import http.client
import json
import logging
import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, quote, urlsplit

from contract.errors import BadContent
from contract.jsontext import parse_value
from contract.layout import GATEWAY_CA_FILE
from nanoclaw.config import CredentialsBackend, HostConfig
from nanoclaw.containers.files import write_file
from nanoclaw.containers.gateway.decide import (
    BadGatewayAnswer,
    GatewayConfig,
    parse_container_config,
)
from nanoclaw.containers.gateway.key import read_key
from nanoclaw.errors import ConfigError, ContainerError

LIMIT_SECONDS = 5.0
MAX_ANSWER_BYTES = 1024 * 1024
CONFLICT = 409
"""It knows the agent already."""

log = logging.getLogger(__name__)


class GatewayError(ContainerError):
    """OneCLI did not give what a start needs; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """OneCLI for one installation. ``environment`` is the host's own, for the key."""

    config: HostConfig
    environment: Mapping[str, str]
    seconds: float = LIMIT_SECONDS

    @property
    def wanted(self) -> bool:
        return self.config.credentials_backend is CredentialsBackend.ONECLI

    def apply(self, identifier: str, name: str, in_dir: Path) -> tuple[tuple[str, str], ...]:
        """Variables for the container of this agent group; its trust is written to ``in_dir``.

        Without a gateway, or with one that fails and is not required, none: the vault then goes
        out by itself. Raises GatewayError and OSError.
        """
        file = in_dir / GATEWAY_CA_FILE
        if not self.wanted:
            file.unlink(missing_ok=True)
            return ()
        try:
            found = self.fetch(identifier, name)
        except GatewayError as error:
            if self.config.gateway_required:
                raise
            log.warning("agent starts without OneCLI", extra={"reason": str(error)})
            file.unlink(missing_ok=True)
            return ()
        if found.withheld:
            log.debug("variables withheld", extra={"reason": ", ".join(found.withheld)})
        if found.ca:
            write_file(file, found.ca)
        else:
            file.unlink(missing_ok=True)
        return found.environment

    def fetch(self, identifier: str, name: str) -> GatewayConfig:
        """Makes the agent known and asks for its configuration. Raises GatewayError."""
        url = self.config.onecli_url
        try:
            key = read_key(self.config, self.environment)
            call = _Call(urlsplit(url), key, self.seconds)
            status, _ = call.send("POST", "/api/agents", {"name": name, "identifier": identifier})
            if not _is_good(status) and status != CONFLICT:
                raise GatewayError(_refused(url, status, "does not take the agent"))
            path = f"/api/container-config?agent={quote(identifier, safe='')}"
            status, body = call.send("GET", path, None)
            if not _is_good(status):
                raise GatewayError(_refused(url, status, "gives no configuration"))
            found = parse_container_config(parse_value(body, max_bytes=MAX_ANSWER_BYTES), url)
            check_certificates(found.ca)
        except (BadGatewayAnswer, BadContent) as error:
            raise GatewayError(f"OneCLI at {url} answers what cannot be used: {error}") from error
        except ConfigError as error:
            raise GatewayError(str(error)) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise GatewayError(f"OneCLI at {url} cannot be reached: {_words(error)}") from error
        return found


def check_certificates(ca: str) -> None:
    """Raises BadGatewayAnswer for what no program could load."""
    try:
        if ca:
            ssl.create_default_context(cadata=ca)
    except ssl.SSLError:
        raise BadGatewayAnswer("caCertificate cannot be loaded") from None


class _Call:
    """Requests to one address, each on a connection of its own and within the limit."""

    def __init__(self, address: SplitResult, key: str | None, seconds: float) -> None:
        self._address = address
        self._key = key
        self._seconds = seconds

    def send(self, method: str, path: str, body: object) -> tuple[int, str]:
        connection = self._connection()
        late = threading.Event()

        def end() -> None:
            late.set()
            with suppress(OSError, AttributeError):
                connection.sock.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(self._seconds, end)
        timer.daemon = True
        timer.start()
        try:
            return self._exchange(connection, method, path, body)
        except (OSError, http.client.HTTPException):
            if late.is_set():
                raise TimeoutError(f"no answer within {self._seconds:g} seconds") from None
            raise
        finally:
            timer.cancel()
            connection.close()

    def _exchange(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: object
    ) -> tuple[int, str]:
        headers = {"accept": "application/json", "user-agent": "nanoclaw"}
        if self._key is not None:
            headers["authorization"] = f"Bearer {self._key}"
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["content-type"] = "application/json"
        connection.request(method, self._address.path.rstrip("/") + path, data, headers)
        answer = connection.getresponse()
        content = answer.read(MAX_ANSWER_BYTES + 1)
        if len(content) > MAX_ANSWER_BYTES:
            raise BadGatewayAnswer("the answer is too long")
        if answer.length:
            raise http.client.IncompleteRead(content)
        return answer.status, content.decode("utf-8", "replace")

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._address.hostname or "", self._address.port
        if self._address.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, port, timeout=self._seconds, context=context)
        return http.client.HTTPConnection(host, port, timeout=self._seconds)


def _is_good(status: int) -> bool:
    return 200 <= status < 300


def _refused(url: str, status: int, what: str) -> str:
    hint = "; set ONECLI_API_KEY" if status in (401, 403) else ""
    return f"OneCLI at {url} {what} (status {status}{hint})"


def _words(error: Exception) -> str:
    if isinstance(error, http.client.HTTPException):
        return f"it does not answer in HTTP ({type(error).__name__})"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__

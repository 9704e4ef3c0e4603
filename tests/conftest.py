"""Decides which tests run: the folder of a file is its kind, and expensive kinds are asked for.

``pytest`` alone runs unit and integration; ``--docker``, ``--server``, ``--pyz`` and ``--crash``
add the rest. What was not asked for is deselected, not skipped; what was asked for and cannot run
fails, so that a green run always means that the tests ran.
"""

import http.client
import os
import signal
import socket
from pathlib import Path

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what it puts into the background deaf to Ctrl-C, and children inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

KINDS = ("unit", "integration", "docker", "server", "pyz", "crash")
ON_REQUEST = {
    "docker": "tests in tests/docker: a real engine, image and containers",
    "server": "tests in tests/server: real third-party servers on loopback",
    "pyz": "tests in tests/pyz: the built file",
    "crash": "tests in tests/crash: every process killed at every step",
}
TESTS = Path(__file__).parent
ENGINE_TIMEOUT_SECONDS = 10


def pytest_addoption(parser: pytest.Parser) -> None:
    for kind, text in ON_REQUEST.items():
        parser.addoption(f"--{kind}", action="store_true", help=f"also run the {text}")
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="rewrite what generated texts are compared with",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept: list[pytest.Item] = []
    dropped: list[pytest.Item] = []
    for item in items:
        kind = kind_of(item.path)
        item.add_marker(kind)
        if kind == "docker" and isinstance(item, pytest.Function):
            item.fixturenames.insert(0, "container_engine")
        wanted = kind not in ON_REQUEST or config.getoption(f"--{kind}")
        (kept if wanted else dropped).append(item)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept


def kind_of(path: Path) -> str:
    """The kind that the first folder below tests/ names."""
    kind = path.relative_to(TESTS).parts[0]
    if kind not in KINDS:
        raise pytest.UsageError(f"{path} is in no folder that names a kind: {', '.join(KINDS)}")
    return kind


@pytest.fixture(scope="session")
def container_engine() -> None:
    """Every Docker test needs it; without an engine they fail in plain words."""
    if problem := engine_problem(os.environ.get("DOCKER_HOST", "")):
        pytest.fail(f"--docker was given, but {problem}; tools/engine-up starts one", pytrace=False)


def engine_problem(address: str) -> str:
    """Why the container engine cannot be used; empty when it answers."""
    path = address.removeprefix("unix://") or "/var/run/docker.sock"
    connection = http.client.HTTPConnection("localhost", timeout=ENGINE_TIMEOUT_SECONDS)
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.settimeout(ENGINE_TIMEOUT_SECONDS)
        connection.sock.connect(path)
        connection.request("GET", "/_ping")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"no engine answers on {path} ({error})"
    finally:
        connection.close()
    return "" if status == http.client.OK else f"the engine on {path} answers with {status}"

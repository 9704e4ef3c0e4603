"""Programs as they are, with nothing but their environment, through a real door to real servers."""

import functools
import hashlib
import http.server
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers.egress_relay import RelayThread
from helpers.egress_server import TestAuthority, test_authority, tool_environment, web_server
from helpers.vault_process import VaultProcess
from helpers.vault_upstream import FakeUpstream

from contract.clock import utc_now
from nanoclaw.db import agent_groups, container_configs
from nanoclaw.db.container_configs import ContainerConfigChange

HOST = "127.0.0.2"
"""Not 127.0.0.1, which programs reach without the proxy."""
SECONDS = 120


@dataclass(frozen=True, slots=True)
class Bench:
    vault: VaultProcess
    relay: RelayThread
    authority: TestAuthority
    folder: Path

    def allow(self, *rules: str) -> None:
        with self.vault.database() as conn:
            (group, *_) = agent_groups.list_all(conn)
            change = ContainerConfigChange(egress_allow=tuple(f"{rule} local" for rule in rules))
            container_configs.update(conn, group.id, change, utc_now())

    def run(
        self, *command: str, cwd: Path | None = None, no_proxy: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        environment = tool_environment(
            self.folder / "home", self.authority.ca, self.relay.environment
        )
        if no_proxy is not None:
            environment.update(NO_PROXY=no_proxy, no_proxy=no_proxy)
        return subprocess.run(
            command, env=environment, cwd=cwd or self.folder, timeout=SECONDS, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    authority = test_authority(tmp_path / "ca")
    work = tmp_path / "work"
    work.mkdir()
    with FakeUpstream() as upstream, VaultProcess(tmp_path / "host") as vault:
        vault.settings(anthropic_base_url=upstream.url)
        vault.key()
        vault.start()
        with RelayThread(vault.new_door()) as relay:
            yield Bench(vault, relay, authority, work)


def body_of(request: http.server.BaseHTTPRequestHandler) -> bytes:
    if not request.headers.get("transfer-encoding"):
        return request.rfile.read(int(request.headers.get("content-length", "0")))
    body = b""
    while size := int(request.rfile.readline(), 16):
        body += request.rfile.read(size)
        request.rfile.readline()
    request.rfile.readline()
    return body


class Files(http.server.SimpleHTTPRequestHandler):
    """A folder; also takes PUT, and notes who comes."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        body = body_of(self)
        Path(self.translate_path(self.path)).write_bytes(body)
        self.send_response(201)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site(bench: Bench, tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A folder behind HTTPS that the agent may reach, and the port."""
    folder = tmp_path / "site"
    folder.mkdir()
    handler = functools.partial(Files, directory=str(folder))
    with web_server(handler, HOST, bench.authority.server_context(HOST)) as port:
        bench.allow(f"{HOST}:{port}")
        yield folder, port


def test_curl_reads_https_through_the_door(bench: Bench, site: tuple[Path, int]) -> None:
    folder, port = site
    (folder / "x.txt").write_text("over there")

    done = bench.run("curl", "-sS", "--fail", f"https://{HOST}:{port}/x.txt")

    assert (done.returncode, done.stdout) == (0, "over there")


@pytest.mark.parametrize("chunked", [False, True])
def test_curl_uploads_over_plain_http(bench: Bench, tmp_path: Path, chunked: bool) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    (bench.folder / "large.bin").write_bytes(os.urandom(3_000_000))
    with web_server(functools.partial(Files, directory=str(folder)), HOST, None) as port:
        bench.allow(f"{HOST}:{port}")
        more = ["-H", "Transfer-Encoding: chunked"] if chunked else []
        done = bench.run(
            "curl", "-sS", "--fail", *more, "-T", "large.bin", f"http://{HOST}:{port}/up.bin"
        )

    assert done.returncode == 0, done.stdout
    assert (folder / "up.bin").read_bytes() == (bench.folder / "large.bin").read_bytes()


def test_curl_is_told_why_a_host_is_refused(bench: Bench) -> None:
    done = bench.run("curl", "-sv", "https://unknown.example/")

    assert done.returncode != 0
    assert "HTTP/1.1 403 unknown.example" in done.stdout


def test_certificate_of_another_is_noticed_by_the_program_itself(
    bench: Bench, tmp_path: Path
) -> None:
    other = test_authority(tmp_path / "other")
    handler = functools.partial(Files, directory=str(tmp_path))
    with web_server(handler, HOST, other.server_context(HOST)) as port:
        bench.allow(f"{HOST}:{port}")
        done = bench.run("curl", "-sS", f"https://{HOST}:{port}/")

    assert done.returncode == 60, done.stdout


def test_pip_installs_from_an_index(bench: Bench, site: tuple[Path, int]) -> None:
    folder, port = site
    wheel = folder / "packages" / "door_probe-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("door_probe.py", "ANSWER = 42\n")
        about = "door_probe-1.0.dist-info"
        archive.writestr(
            f"{about}/METADATA", "Metadata-Version: 2.1\nName: door-probe\nVersion: 1.0\n"
        )
        archive.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{about}/RECORD", "")
    page = folder / "simple" / "door-probe"
    page.mkdir(parents=True)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    link = f'<a href="/packages/{wheel.name}#sha256={digest}">{wheel.name}</a>'
    (page / "index.html").write_text(f"<!DOCTYPE html><html><body>{link}</body></html>")

    done = bench.run(
        sys.executable, "-m", "pip", "install", "--no-cache-dir", "--disable-pip-version-check",
        "--index-url", f"https://{HOST}:{port}/simple/", "--target", "got", "door-probe",
    )  # fmt: skip

    assert done.returncode == 0, done.stdout
    assert (bench.folder / "got" / "door_probe.py").read_text() == "ANSWER = 42\n"


def test_npm_installs_from_a_registry(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "registry"
    folder.mkdir()
    handler = functools.partial(Files, directory=str(folder))
    # It takes certificates for names only.
    with web_server(handler, "127.0.0.1", bench.authority.server_context("localhost")) as port:
        bench.allow(f"localhost:{port}")
        _fill_registry(folder, f"https://localhost:{port}")
        done = bench.run(
            "npm", "install", "--no-audit", "--no-fund", "--no-update-notifier",
            "--registry", f"https://localhost:{port}/", "door-probe", no_proxy="127.0.0.1",
        )  # fmt: skip

    assert done.returncode == 0, done.stdout
    assert (bench.folder / "node_modules" / "door-probe" / "index.js").exists()


def _fill_registry(folder: Path, address: str) -> None:
    packed = io.BytesIO()
    manifest = {"name": "door-probe", "version": "1.0.0", "main": "index.js"}
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in (
            ("package.json", json.dumps(manifest)),
            ("index.js", "module.exports = 42\n"),
        ):
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    (folder / "door-probe.tgz").write_bytes(packed.getvalue())
    integrity = "sha512-" + b64encode(hashlib.sha512(packed.getvalue()).digest()).decode()
    there = {"tarball": f"{address}/door-probe.tgz", "integrity": integrity}
    listing = {
        "name": "door-probe", "dist-tags": {"latest": "1.0.0"},
        "versions": {"1.0.0": {**manifest, "dist": there}},
    }  # fmt: skip
    (folder / "door-probe").write_text(json.dumps(listing))


def git(folder: Path, *arguments: str) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    who = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *who, *arguments], cwd=folder, env=environment, check=True, timeout=60)


class GitBackend(http.server.CGIHTTPRequestHandler):
    """The smart protocol, by git's own program."""

    root = ""
    rbufsize = -1
    protocol_version = "HTTP/1.0"

    def is_cgi(self) -> bool:
        self.cgi_info = ("", self.path.lstrip("/"))
        return True

    def run_cgi(self) -> None:
        path, _, query = self.path.partition("?")
        body = body_of(self)
        environment = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": self.root, "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("content-type", ""), "REMOTE_USER": "agent",
            "CONTENT_LENGTH": str(len(body)), "HOME": self.root,
            "HTTP_CONTENT_ENCODING": self.headers.get("content-encoding", ""),
        }  # fmt: skip
        done = subprocess.run(
            ["git", "http-backend"], input=body, env=environment, capture_output=True, check=True,
            timeout=60,
        )  # fmt: skip
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(lines.pop("Status", "200").split()[0]))
        for name, value in lines.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_git_clones_and_pushes_over_https(bench: Bench, tmp_path: Path) -> None:
    served = tmp_path / "served"
    served.mkdir()
    git(served, "init", "-q", "--bare", "project.git")
    git(served / "project.git", "config", "http.receivepack", "true")
    seed = tmp_path / "seed"
    seed.mkdir()
    git(seed, "init", "-q")
    (seed / "data.bin").write_bytes(os.urandom(500_000))
    git(seed, "add", ".")
    git(seed, "commit", "-qm", "first")
    git(seed, "push", "-q", str(served / "project.git"), "HEAD:main")
    backend = type("Backend", (GitBackend,), {"root": str(served)})

    with web_server(backend, HOST, bench.authority.server_context(HOST)) as port:
        bench.allow(f"{HOST}:{port}")
        cloned = bench.run("git", "clone", "-q", f"https://{HOST}:{port}/project.git", "project")
        assert cloned.returncode == 0, cloned.stdout
        project = bench.folder / "project"
        (project / "more.bin").write_bytes(os.urandom(2_000_000))
        git(project, "add", ".")
        git(project, "commit", "-qm", "second")
        pushed = bench.run("git", "push", "-q", "origin", "HEAD:main", cwd=project)

    assert pushed.returncode == 0, pushed.stdout
    heads = [
        (where / "refs" / "heads" / "main") for where in (served / "project.git", project / ".git")
    ]
    assert heads[0].read_text() == heads[1].read_text()


PYTHON = """
import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1]).read().decode())
"""
HTTPX = """
import sys, httpx2, ssl
print(httpx2.get(sys.argv[1], verify=ssl.create_default_context()).text)
"""


@pytest.mark.parametrize("program", [PYTHON, HTTPX], ids=["urllib", "httpx"])
def test_python_libraries_find_the_proxy(
    bench: Bench, site: tuple[Path, int], program: str
) -> None:
    folder, port = site
    (folder / "x.txt").write_text("over there")

    done = bench.run(sys.executable, "-c", program, f"https://{HOST}:{port}/x.txt")

    assert done.stdout.strip() == "over there"


SDK = """
import anthropic
events = anthropic.Anthropic(max_retries=0).messages.create(
    model="claude-haiku-4-5", max_tokens=50, stream=True,
    messages=[{"role": "user", "content": "hello"}],
)
print(*(event.type for event in events))
"""


def test_models_own_client_goes_straight_to_the_door(bench: Bench) -> None:
    done = bench.run(sys.executable, "-c", SDK)

    assert done.returncode == 0, done.stdout
    assert "message_start" in done.stdout
    assert "egress" not in bench.vault.log()


def test_open_tunnels_do_not_keep_the_model_waiting(bench: Bench, site: tuple[Path, int]) -> None:
    folder, port = site
    with (folder / "large.bin").open("wb") as file:
        file.truncate(50_000_000)
    command = (
        "curl",
        "-sS",
        "--limit-rate",
        "100k",
        "-o",
        "/dev/null",
        f"https://{HOST}:{port}/large.bin",
    )
    environment = tool_environment(
        bench.folder / "home", bench.authority.ca, bench.relay.environment
    )
    running = [
        subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(30)
    ]
    try:
        done = bench.run(sys.executable, "-c", SDK)
    finally:
        for process in running:
            process.kill()
        for process in running:
            process.wait(20)

    assert done.returncode == 0, done.stdout

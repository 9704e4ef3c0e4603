"""Programs that people use, through a connection that is looked into."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from helpers.intercept_stage import SECRET, Stage, echo, running_stage
from helpers.kill_points import ROOT, KillFolder

from nanoclaw.db.connection import open_central
from nanoclaw.db.services import ServiceKind

NODE = """
const http = require('http'), tls = require('tls');
const proxy = new URL(process.env.HTTPS_PROXY);
http.request({host: proxy.hostname, port: proxy.port, method: 'CONNECT', path: 'api.test:443'})
  .on('connect', (_, socket) => {
    const request = http.get({host: 'api.test', path: '/node', headers: {Host: 'api.test'},
      createConnection: () => tls.connect({socket, servername: 'api.test'})}, answer => {
        answer.on('data', data => process.stdout.write(data));
        answer.on('end', () => process.exit());
      });
    request.on('error', error => { console.error(error.message); process.exit(1); });
  }).end();
"""
PYTHON = """
import http.client, os, ssl
from urllib.parse import urlsplit
proxy = urlsplit(os.environ["HTTPS_PROXY"])
context = ssl.create_default_context()
context.verify_flags |= ssl.VERIFY_X509_STRICT
conn = http.client.HTTPSConnection(proxy.hostname, proxy.port, context=context)
conn.set_tunnel("api.test", 443)
for path in ("/one", "/two"):
    conn.request("POST", path, body=iter([b"a" * 10, b"b" * 10]))
    print(conn.getresponse().read().decode())
"""


async def prepare(stage: Stage) -> None:
    await stage.serve("api.test", echo)
    stage.service()
    stage.secret()


def run(stage: Stage, *command: str, fails: bool = False) -> str:
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(stage.paths.home), "HTTPS_PROXY": stage.proxy,
        "https_proxy": stage.proxy, "SSL_CERT_FILE": str(stage.ca),
        "NODE_EXTRA_CA_CERTS": str(stage.ca), "CURL_CA_BUNDLE": str(stage.ca),
        "GIT_SSL_CAINFO": str(stage.ca), "GIT_TERMINAL_PROMPT": "0",
    }  # fmt: skip
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode != 0) == fails, done.stderr
    return done.stdout + done.stderr if fails else done.stdout


@pytest.mark.parametrize(
    "command",
    [
        ("curl", "-sS", "-d", "some body", "https://api.test/curl"),
        ("node", "-e", NODE),
        ("python3", "-c", PYTHON),
    ],
    ids=("curl", "node", "python"),
)
def test_program_trusts_the_certificate_and_the_secret_goes_in(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    with running_stage(tmp_path, prepare) as stage:
        answer = run(stage, *command)

        assert f"authorization: Bearer {SECRET}" in answer
        assert stage.audit()


def test_program_that_does_not_know_our_authority_refuses_to_talk(tmp_path: Path) -> None:
    with running_stage(tmp_path, prepare) as stage:
        nothing = tmp_path / "nothing.pem"
        nothing.write_text("")
        answer = run(
            stage,
            "curl",
            "-sS",
            "--cacert",
            str(stage.public.file),
            "https://api.test/",
            fails=True,
        )

        assert "certificate" in answer
        assert stage.policy.seen == []


def test_big_upload_and_download_by_curl_are_whole(tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.write_bytes(os.urandom(1024) * (20 * 1024))
    back = tmp_path / "back"
    with running_stage(tmp_path, prepare) as stage:
        run(
            stage, "curl", "-sS", "-H", "Content-Type: x", "--data-binary", f"@{big}",
            "-o", str(back), "https://api.test/big",
        )  # fmt: skip

    assert back.read_bytes().endswith(big.read_bytes())


def test_git_clones_with_the_secret_as_its_password(tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    (tmp_path / "work").mkdir()
    for command in (
        ("init", "-q", str(origin)),
        ("-C", str(origin), "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q",
         "--allow-empty", "-m", "first"),
        ("-C", str(origin), "update-server-info"),
    ):  # fmt: skip
        subprocess.run(("git", *command), check=True, env={"PATH": os.environ["PATH"]})
    heads: list[str] = []

    async def dumb(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := (await _head(reader)):
            heads.append(head.lower())
            path = head.split()[1].partition("?")[0].removeprefix("/repo.git")
            file = origin / ".git" / path.lstrip("/")
            found = file.is_file() and "authorization: basic" in head.lower()
            body = file.read_bytes() if found else b""
            status = "200 OK" if found else "404 Not Found"
            writer.write(
                f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
            )
            await writer.drain()

    async def with_git(stage: Stage) -> None:
        await stage.serve("git.test", dumb)
        stage.service(
            hosts=("git.test",), kind=ServiceKind.BASIC, template="x-access-token:{secret}"
        )
        stage.secret()

    with running_stage(tmp_path, with_git) as stage:
        run(stage, "git", "clone", "-q", "https://git.test/repo.git", str(tmp_path / "clone"))

    assert (tmp_path / "clone" / ".git" / "HEAD").exists()
    assert all("authorization: basic" in head for head in heads)


async def _head(reader: asyncio.StreamReader) -> str:
    try:
        return (await reader.readuntil(b"\r\n\r\n")).decode()
    except (asyncio.IncompleteReadError, ConnectionError):
        return ""


def test_vault_killed_before_it_sent_a_secret_has_recorded_it_and_sent_nothing(
    tmp_path: Path,
) -> None:
    kill = KillFolder(tmp_path / "kill")
    kill.path.mkdir()
    kill.arm("vault.injection_recorded", "self")
    command = [sys.executable, "-m", "helpers.intercept_child", str(tmp_path)]
    path = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
    environment = {"PYTHONPATH": path, "NANOCLAW_KILL_DIR": str(kill.path)}

    first = subprocess.run(command, env=environment, cwd=ROOT, check=False)

    assert first.returncode == -signal.SIGKILL
    assert not (tmp_path / "received").exists()
    assert rows(tmp_path) == 1
    subprocess.run(command, env=environment, cwd=ROOT, check=True)
    assert (tmp_path / "received").read_text().count(SECRET) == 1
    assert rows(tmp_path) == 2


def rows(folder: Path) -> int:
    with closing(open_central(folder / "home" / "data" / "v2.db")) as conn:
        query = "SELECT count(*) FROM audit WHERE kind = 'injection'"
        return int(conn.execute(query).fetchone()[0])

"""The certificate authority of an installation: made once, renewed in time, kept private."""

import json
import signal
import ssl
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from helpers.kill_points import ROOT, KillFolder
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.clock import utc_now
from nanoclaw.vault import authority, library
from nanoclaw.vault.authority import Authority, AuthorityError, Root, read_roots, signing_root

NOW = utc_now().replace(microsecond=0)
DAY = timedelta(days=1)
MAKE = """
import sys
from pathlib import Path
from contract.clock import utc_now
from nanoclaw.vault.authority import Authority
Authority(Path(sys.argv[1]), "test").ensure(utc_now())
"""


def made(folder: Path, now: datetime = NOW) -> Authority:
    found = Authority(folder, "test")
    found.ensure(now)
    return found


def certificates(folder: Path) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates((folder / "ca.pem").read_bytes())


def run(folder: Path, environment: dict[str, str]) -> int:
    return subprocess.run(
        [sys.executable, "-c", MAKE, str(folder)], cwd=ROOT, check=False,
        env={"PYTHONPATH": str(ROOT), **environment},
    ).returncode  # fmt: skip


def test_key_is_readable_by_nobody_else_and_not_where_certificates_are(tmp_path: Path) -> None:
    folder = tmp_path / "ca"
    made(folder)

    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes == {"authority.json": 0o600, "ca.pem": 0o600, "lock": 0o600}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert "PRIVATE" not in (folder / "ca.pem").read_text()


def test_root_signs_hosts_and_nothing_below_and_ends_within_two_years(tmp_path: Path) -> None:
    made(tmp_path)
    (root,) = certificates(tmp_path)

    basic = root.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, True, 0)
    assert root.not_valid_after_utc - NOW <= timedelta(days=731)


def test_second_call_changes_nothing(tmp_path: Path) -> None:
    made(tmp_path)
    before = (tmp_path / "authority.json").read_bytes()

    made(tmp_path, NOW + 100 * DAY)

    assert (tmp_path / "authority.json").read_bytes() == before


def test_ten_racing_processes_make_one(tmp_path: Path) -> None:
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", MAKE, str(tmp_path)], cwd=ROOT, env={"PYTHONPATH": str(ROOT)}
        )
        for _ in range(10)
    ]

    assert [program.wait(60) for program in programs] == [0] * 10
    assert len(read_roots(tmp_path / "authority.json")) == 1
    assert len(certificates(tmp_path)) == 1


def test_process_killed_after_the_keys_were_kept_is_followed_by_one_that_uses_them(
    tmp_path: Path,
) -> None:
    kill = KillFolder(tmp_path / "kill")
    kill.path.mkdir()
    kill.arm("vault.authority_made", "self")
    folder = tmp_path / "ca"

    assert run(folder, {"NANOCLAW_KILL_DIR": str(kill.path)}) == -signal.SIGKILL
    (root,) = read_roots(folder / "authority.json")
    assert not (folder / "ca.pem").exists()
    assert run(folder, {}) == 0

    assert read_roots(folder / "authority.json") == (root,)
    assert (folder / "ca.pem").read_text() == root.certificate


def test_new_root_is_trusted_long_before_it_signs_and_the_old_one_until_its_end(
    tmp_path: Path,
) -> None:
    made(tmp_path)
    later = NOW + authority.ROOT_LIFE - authority.RENEW_BEFORE + DAY

    made(tmp_path, later)

    old, new = read_roots(tmp_path / "authority.json")
    assert len(certificates(tmp_path)) == 2
    assert signing_root((old, new), later) == old
    assert signing_root((old, new), later + authority.TRUSTED_BEFORE_USE) == new
    assert old.ends_at > later + authority.TRUSTED_BEFORE_USE
    made(tmp_path, old.ends_at + DAY)
    assert read_roots(tmp_path / "authority.json")[0] == new


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(0, 3000), min_size=1, max_size=6))
def test_there_is_a_root_that_holds_whenever_the_host_is_started(days: list[int]) -> None:
    roots: tuple[Root, ...] = ()
    for day in sorted(days):
        now = NOW + day * DAY
        roots = tuple(root for root in roots if root.ends_at > now)
        if not roots or roots[-1].ends_at - now < authority.RENEW_BEFORE:
            roots = (*roots, Root("", "", now, now + authority.ROOT_LIFE))
        assert signing_root(roots, now).ends_at > now


@pytest.mark.parametrize("text", ["", "{}", '{"roots":[{"key":"x"}]}', '{"roots":[1]}', "[" * 99])
def test_damaged_keys_are_named_with_the_next_step(tmp_path: Path, text: str) -> None:
    path = tmp_path / "authority.json"
    path.write_text(text)
    path.chmod(0o600)

    with pytest.raises(AuthorityError, match="move it away"):
        made(tmp_path)


def test_keys_that_others_can_read_are_refused(tmp_path: Path) -> None:
    made(tmp_path)
    (tmp_path / "authority.json").chmod(0o644)

    with pytest.raises(AuthorityError, match="chmod 600"):
        made(tmp_path)


def test_contexts_are_kept_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authority, "MAX_LEAVES", 2)
    found = made(tmp_path)

    first = found.context_for("a.test", NOW)

    assert found.context_for("a.test", NOW) is first
    for host in ("b.test", "c.test"):
        found.context_for(host, NOW)
    assert found.context_for("a.test", NOW) is not first
    second = found.context_for("a.test", NOW)
    assert found.context_for("a.test", NOW + authority.LEAF_USE) is not second


@pytest.mark.parametrize(
    "host", ["api.test", "192.0.2.7", "2001:db8::7", "a" * 60 + "." + "b" * 60]
)
def test_leaf_is_accepted_by_the_strictest_client(tmp_path: Path, host: str) -> None:
    context = made(tmp_path).context_for(host, NOW)
    client = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    client.verify_flags |= ssl.VERIFY_X509_STRICT

    certificate = _shake_hands(client, context, host)

    ((kind, name),) = certificate["subjectAltName"]
    assert (kind, name.lower().replace(":0:0:0:0:0:", "::")) == (
        "DNS" if host.endswith(("test", "b")) else "IP Address", host,
    )  # fmt: skip


def test_old_versions_of_tls_are_refused(tmp_path: Path) -> None:
    context = made(tmp_path).context_for("api.test", NOW)

    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_missing_library_is_told_with_the_command_that_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "MODULE", "cryptography_that_is_not_there.x")
    broken = tmp_path / "broken"
    (broken / "broken_library").mkdir(parents=True)
    (broken / "broken_library" / "__init__.py").write_text("raise ImportError('other Python')")

    assert "damaged" not in (library.problem(tmp_path / "nothing") or "")
    monkeypatch.setattr(library, "MODULE", "broken_library")
    assert "nanoclaw extras remove intercept" in (library.problem(broken) or "")
    sys.path.remove(str(broken))


def test_file_of_keys_says_nothing_of_the_installation(tmp_path: Path) -> None:
    made(tmp_path)

    value = json.loads((tmp_path / "authority.json").read_text())

    assert set(value) == {"roots"}
    assert set(value["roots"][0]) == {"key", "certificate", "made_at", "ends_at"}


def _shake_hands(
    client: ssl.SSLContext, server: ssl.SSLContext, host: str
) -> dict[str, list[tuple[str, str]]]:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_hostname=host)
    far = server.wrap_bio(to_server, to_client, server_side=True)
    waiting = [near, far]
    while waiting:
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                pass
    return near.getpeercert()  # type: ignore[return-value] # typeshed has a wider one

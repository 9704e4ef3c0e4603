"""TLS to the model's address: who is not proved to be it gets no byte of a request."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers.intercept_certificates import PublicAuthority
from helpers.vault_process import KEY, VaultProcess
from helpers.vault_upstream import FakeUpstream

HERE = "127.0.0.1"


@pytest.fixture
def authority(tmp_path: Path) -> PublicAuthority:
    return PublicAuthority.make(tmp_path)


@contextmanager
def vault_of(
    folder: Path, tls: ssl.SSLContext | None, ca: Path | None, url: str | None = None
) -> Iterator[tuple[VaultProcess, FakeUpstream]]:
    """A running vault whose one endpoint is reached by https."""
    (folder / "vault").mkdir()
    with FakeUpstream(tls=tls) as upstream, VaultProcess(folder / "vault") as vault:
        address = (url or upstream.url).replace("http://", "https://")
        text = f'[[endpoints]]\nname = "first"\nbase_url = "{address}"\n'
        vault.paths.config_file.write_text(text + (f'ca = "{ca}"\n' if ca else ""))
        vault.key()
        yield vault.start(), upstream


def refusal(vault: VaultProcess, upstream: FakeUpstream) -> str:
    """What the agent is told; nothing was sent and nothing charged."""
    answered = vault.new_door().ask()
    kind, text = answered.error
    rows = vault.wait_for_settlement()

    assert (answered.status, kind) == (502, "api_error")
    assert upstream.seen == []
    assert [(row.tokens, row.microusd) for row in rows] == [(0, 0)]
    assert KEY not in text + vault.log()
    return text


def test_certificate_of_the_endpoints_own_authority_is_trusted(
    tmp_path: Path, authority: PublicAuthority
) -> None:
    with vault_of(tmp_path, authority.server(HERE), authority.file) as (vault, upstream):
        answered = vault.new_door().ask()

        assert answered.status == 200
        assert b"Hello" in answered.body
        assert upstream.seen[0].headers["authorization"] == f"Bearer {KEY}"


def test_same_certificate_is_not_trusted_without_the_endpoints_word(
    tmp_path: Path, authority: PublicAuthority
) -> None:
    with vault_of(tmp_path, authority.server(HERE), None) as (vault, upstream):
        text = refusal(vault, upstream)

    assert "the model's address cannot be reached: its certificate is not trusted" in text


def test_certificate_of_another_host_gets_no_key(
    tmp_path: Path, authority: PublicAuthority
) -> None:
    tls = authority.server("other.example")
    with vault_of(tmp_path, tls, authority.file) as (vault, upstream):
        text = refusal(vault, upstream)

    assert "its certificate is not trusted" in text
    assert "mismatch" in text


def test_certificate_that_has_ended_gets_no_key(tmp_path: Path, authority: PublicAuthority) -> None:
    tls = authority.server(HERE, days=-1)
    with vault_of(tmp_path, tls, authority.file) as (vault, upstream):
        text = refusal(vault, upstream)

    assert "its certificate is not trusted" in text
    assert "expired" in text


def test_address_without_tls_gets_no_key_by_https(
    tmp_path: Path, authority: PublicAuthority
) -> None:
    with vault_of(tmp_path, None, authority.file) as (vault, upstream):
        text = refusal(vault, upstream)

    assert "the model's address cannot be reached" in text


def test_file_of_certificates_that_cannot_be_used_is_named_as_the_reason(
    tmp_path: Path, authority: PublicAuthority
) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    with vault_of(tmp_path, authority.server(HERE), broken) as (vault, upstream):
        text = refusal(vault, upstream)

    assert "the endpoint's file of certificates (ca) cannot be used" in text

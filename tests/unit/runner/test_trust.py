from pathlib import Path

import pytest

from contract.layout import RunnerPaths
from runner import trust
from runner.trust import trusted

OWN = "-----BEGIN CERTIFICATE-----\nown\n-----END CERTIFICATE-----\n"


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunnerPaths:
    system = tmp_path / "system.pem"
    system.write_text("system")
    monkeypatch.setattr(trust, "SYSTEM_BUNDLES", (str(tmp_path / "none"), str(system)))
    found = RunnerPaths(tmp_path / "in", tmp_path / "out", tmp_path / "work", tmp_path / "app")
    found.in_dir.mkdir()
    found.out_dir.mkdir()
    return found


def test_without_certificates_of_the_vault_nothing_is_set(paths: RunnerPaths) -> None:
    assert trusted(paths, {}) == {}
    assert not paths.runner_dir.exists()


def test_one_file_holds_what_is_trusted_anyway_and_the_vaults(paths: RunnerPaths) -> None:
    (paths.in_dir / "ca.pem").write_text(OWN)

    found = trusted(paths, {})

    bundle = Path(found["SSL_CERT_FILE"])
    assert bundle.read_text() == "system\n" + OWN
    assert {found[name] for name in trust.WHOLE} == {str(bundle)}
    assert found["NODE_EXTRA_CA_CERTS"] == str(paths.in_dir / "ca.pem")


def test_bundle_that_the_image_names_goes_before_the_usual_places(
    paths: RunnerPaths, tmp_path: Path
) -> None:
    (paths.in_dir / "ca.pem").write_text(OWN)
    (tmp_path / "images.pem").write_text("images")

    found = trusted(paths, {"SSL_CERT_FILE": str(tmp_path / "images.pem")})

    assert Path(found["SSL_CERT_FILE"]).read_text().startswith("images\n")


def test_link_that_an_agent_left_is_not_written_through(paths: RunnerPaths, tmp_path: Path) -> None:
    (paths.in_dir / "ca.pem").write_text(OWN)
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    paths.runner_dir.mkdir()
    for name in ("ca-bundle.pem", ".ca-bundle.pem.new"):
        (paths.runner_dir / name).symlink_to(victim)

    trusted(paths, {})

    assert victim.read_text() == "untouched"
    assert not (paths.runner_dir / "ca-bundle.pem").is_symlink()


def test_folder_that_cannot_be_written_leaves_what_needs_none(paths: RunnerPaths) -> None:
    (paths.in_dir / "ca.pem").write_text(OWN)
    paths.runner_dir.write_text("in the way")

    assert set(trusted(paths, {})) == {"NODE_EXTRA_CA_CERTS"}

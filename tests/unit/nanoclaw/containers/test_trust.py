from pathlib import Path

import pytest

from nanoclaw.containers.trust import materialize_trust
from nanoclaw.paths import HostPaths


@pytest.fixture
def paths(tmp_path: Path) -> HostPaths:
    found = HostPaths(tmp_path / "home")
    found.authority.mkdir(parents=True)
    for name in ("ca.pem", "authority.json"):
        (found.authority / name).write_text(f"content of {name}")
        (found.authority / name).chmod(0o600)
    return found


def test_container_gets_the_certificates_and_no_key(paths: HostPaths, tmp_path: Path) -> None:
    materialize_trust(paths, tmp_path, has_door=True)

    file = tmp_path / "ca.pem"
    assert file.read_text() == "content of ca.pem"
    assert file.stat().st_mode & 0o777 == 0o644
    assert "authority" not in "".join(path.name for path in tmp_path.iterdir())


def test_without_a_door_or_an_authority_an_old_file_goes(paths: HostPaths, tmp_path: Path) -> None:
    materialize_trust(paths, tmp_path, has_door=True)
    materialize_trust(paths, tmp_path, has_door=False)
    assert not (tmp_path / "ca.pem").exists()

    materialize_trust(paths, tmp_path, has_door=True)
    (paths.authority / "ca.pem").unlink()
    materialize_trust(paths, tmp_path, has_door=True)
    assert not (tmp_path / "ca.pem").exists()


def test_certificates_that_others_may_have_changed_are_not_given_on(
    paths: HostPaths, tmp_path: Path
) -> None:
    (paths.authority / "ca.pem").chmod(0o666)

    materialize_trust(paths, tmp_path, has_door=True)

    assert not (tmp_path / "ca.pem").exists()

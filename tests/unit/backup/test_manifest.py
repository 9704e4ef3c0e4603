"""What an archive may call its members, and what goes without its secrets."""

from dataclasses import asdict

import pytest

from nanoclaw.backup.manifest import BackupError, Manifest, Member, checked_name, read_manifest
from nanoclaw.backup.sources import without_secrets


def a_manifest() -> Manifest:
    return Manifest(
        program="0.1.0", schema=3, slug="0a1b2c3d", home="/h", created_at="2026-01-02T03:04:05Z",
        with_secrets=False, caps={"files": 1}, uid=0, members=[Member("data/v2.db", 5, "ab")],
    )  # fmt: skip


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a/", "a\0b", ".."]
)
def test_unsafe_names_are_refused(name: str) -> None:
    with pytest.raises(BackupError, match="unsafe"):
        checked_name(name)


def test_a_manifest_reads_back_as_it_was() -> None:
    manifest = a_manifest()

    assert read_manifest(asdict(manifest), "x") == manifest


def test_a_newer_format_is_refused_with_the_next_step() -> None:
    value = asdict(a_manifest()) | {"format": 99}

    with pytest.raises(BackupError, match="newer nanoclaw"):
        read_manifest(value, "x")


@pytest.mark.parametrize("key", ["members", "schema", "created_at", "caps"])
def test_a_manifest_without_a_part_is_none(key: str) -> None:
    value = asdict(a_manifest())
    del value[key]

    with pytest.raises(BackupError, match="no backup"):
        read_manifest(value, "x")


def test_secret_lines_do_not_come_along() -> None:
    text = "TZ=UTC\nANTHROPIC_API_KEY=sk-1\nexport SLACK_bot_token = x\nDB_PASSWORD=p\nNAME=Andy\n"

    assert without_secrets(text) == "TZ=UTC\nNAME=Andy\n"


def test_logins_in_addresses_and_lines_that_are_no_settings_do_not_come_along() -> None:
    text = (
        "# words\n\nPROXY=http://me:pw@host\nURL=https://host/a@b\nrest of a key\nA_PASSPHRASE=x\n"
    )

    assert without_secrets(text) == "# words\n\nURL=https://host/a@b\n"

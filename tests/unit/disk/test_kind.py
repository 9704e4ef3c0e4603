"""In which line of ``nanoclaw disk`` a file is counted."""

import pytest

from nanoclaw.disk.usage import kind_of


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("data/v2.db", "database"),
        ("data/v2.db-wal", "database"),
        ("data/search.db", "search index"),
        ("data/reserve", "reserve"),
        ("data/audit/2026.jsonl", "audit archives"),
        ("data/channels/cli/sends.jsonl", "channels"),
        ("data/v2-sessions/ag/s/in/inbound.db", "sessions"),
        ("data/v2-sessions/ag/s/in/files/m/a.png", "attachments"),
        ("data/v2-sessions/ag/s.tar.gz", "closed sessions"),
        ("data/v2-sessions/ag/home/.bashrc", "agents' homes"),
        ("groups/main/memory.md", "agents' folders"),
        ("backups/x.tar.gz", "backups"),
        ("before-restore-1/data/v2.db", "data of before a restore"),
        ("logs/nanoclaw.log", "logs"),
        ("config.toml", "settings and the rest"),
    ],
)
def test_a_file_is_counted_in_one_line(path: str, kind: str) -> None:
    assert kind_of(tuple(path.split("/"))) == kind

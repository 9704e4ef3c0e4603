"""One key of config.toml is set, everything else stays."""

from pathlib import Path

import pytest

from nanoclaw.errors import ConfigError
from setup.config_file import changed_text, set_key


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", 'zone = "X"\n'),
        ("# note\nother = 1", '# note\nother = 1\nzone = "X"\n'),
        ('zone = "Y"\nother = 1\n', 'zone = "X"\nother = 1\n'),
        ('[table]\nzone = "Y"\n', 'zone = "X"\n[table]\nzone = "Y"\n'),
    ],
)
def test_only_the_key_changes(before: str, after: str) -> None:
    assert changed_text(before, "zone", "X") == after


def test_a_file_written_in_an_unusual_way_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    unusual = 'text = """\nzone = 1\n"""\n'
    file.write_text(unusual)

    with pytest.raises(ConfigError, match="put this line at its top"):
        set_key(file, "zone", "X")
    assert file.read_text() == unusual

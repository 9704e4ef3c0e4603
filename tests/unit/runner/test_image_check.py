from pathlib import Path

import pytest

from runner.errors import ConfigError
from runner.image_check import IMAGE_PREFIX, check_image


def test_image_of_our_generation_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "deps.json").write_text('{"api":1,"packages":{"anthropic":"1.0"}}')

    check_image(tmp_path)


@pytest.mark.parametrize(
    "text", ['{"api":0}', '{"api":2}', '{"api":"1"}', "{}", "[]", "nothing", '{"api":null}']
)
def test_other_images_are_refused_with_the_next_step(tmp_path: Path, text: str) -> None:
    (tmp_path / "deps.json").write_text(text)

    with pytest.raises(ConfigError) as caught:
        check_image(tmp_path)

    assert "nanoclaw image build" in caught.value.notice


def test_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "deps.json").write_bytes(b"\xff\xfe")

    with pytest.raises(ConfigError):
        check_image(tmp_path)


def test_outside_of_an_image_there_is_nothing_to_check(tmp_path: Path) -> None:
    check_image(tmp_path)
    check_image()


def test_image_without_the_file_is_too_old() -> None:
    assert not IMAGE_PREFIX.exists(), "this test runs outside of the image"

    with pytest.raises(ConfigError, match="too old"):
        check_image(IMAGE_PREFIX)

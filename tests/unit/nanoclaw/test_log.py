import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from nanoclaw.config import HostConfig, LogLevel
from nanoclaw.log import KEPT_LOGS, LOG_NAME, MAX_LOG_BYTES, rotate_log, setup_logging


@pytest.fixture
def config(tmp_path: Path) -> Iterator[HostConfig]:
    config = HostConfig(tmp_path, log_level=LogLevel.DEBUG)
    config.paths.ensure()
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield config
    for handler in root.handlers:
        if handler not in before:
            handler.close()
    root.handlers[:] = before
    root.setLevel(level)
    logging.raiseExceptions = True


def lines(config: HostConfig) -> list[str]:
    return (config.paths.logs / LOG_NAME).read_text().splitlines()


def test_line_carries_time_level_process_and_keys_in_order(config: HostConfig) -> None:
    setup_logging(config, "router")

    logging.getLogger("x").info("done", extra={"ms": 3, "channel": "cli", "reason": "two words"})

    (line,) = lines(config)
    time, rest = line.split(" ", 1)
    assert time.endswith("Z")
    assert rest == 'INFO router done channel=cli ms=3 reason="two words"'


def test_value_with_line_breaks_stays_on_its_line(config: HostConfig) -> None:
    setup_logging(config, "router")

    logging.getLogger("x").warning("odd", extra={"reason": "a\nforged line\r"})

    assert len(lines(config)) == 1


def test_large_log_is_rotated_and_writers_follow(config: HostConfig) -> None:
    setup_logging(config, "router")
    logging.getLogger("x").info("old")
    assert not rotate_log(config.paths.logs)

    with (config.paths.logs / LOG_NAME).open("ab") as file:
        file.truncate(MAX_LOG_BYTES)
    assert rotate_log(config.paths.logs)
    logging.getLogger("x").info("new")

    assert [line.endswith("new") for line in lines(config)] == [True]
    assert (config.paths.logs / f"{LOG_NAME}.1").stat().st_size == MAX_LOG_BYTES


def test_only_some_old_logs_are_kept(config: HostConfig) -> None:
    log = config.paths.logs / LOG_NAME
    for number in range(KEPT_LOGS + 3):
        with log.open("wb") as file:
            file.write(str(number).encode())
            file.truncate(MAX_LOG_BYTES)
        assert rotate_log(config.paths.logs)

    kept = sorted(config.paths.logs.glob(f"{LOG_NAME}.*"))
    assert len(kept) == KEPT_LOGS
    assert kept[0].read_bytes()[:1] == str(KEPT_LOGS + 2).encode()


def test_missing_log_is_not_rotated(config: HostConfig) -> None:
    assert not rotate_log(config.paths.logs)

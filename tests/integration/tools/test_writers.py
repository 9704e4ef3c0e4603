import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from helpers.desk_session import DeskSession
from helpers.runner_process import CHAT, PROJECT

from runner.ncl_client.grammar import parse_words
from runner.ncl_client.transport import TimedOutError, ask_host

EACH = 25


def test_processes_that_write_at_once_never_share_a_number(session: DeskSession) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{PROJECT}:{PROJECT / 'tests'}",
        "COUNT": str(EACH),
        **session.paths.to_environment(),
    }
    writers = [
        subprocess.Popen(
            [sys.executable, "-m", "helpers.desk_program", "send_message", f"toolu_{number}",
             json.dumps({"text": f"from {number}"})],
            env=environment,
            stderr=subprocess.PIPE,
        )
        for number in range(2)
    ]  # fmt: skip

    def ask(_: int) -> None:
        try:
            ask_host(session.paths, parse_words(["groups", "list"]), seconds=0.0)
        except TimedOutError:
            return

    with ThreadPoolExecutor(3) as pool:
        asked = pool.map(ask, range(EACH))
        received = pool.map(lambda n: session.receive(f"in {n}", CHAT), range(EACH))
        inbound = {row.seq for row in received}
        list(asked)
    ends = [(writer.communicate(timeout=60)[1], writer.returncode) for writer in writers]

    assert ends == [(b"", 0), (b"", 0)]
    numbers = [row.seq for row in session.rows]
    assert len(numbers) == 3 * EACH == len(set(numbers))
    assert all(number % 2 == 1 for number in numbers)
    assert not inbound & set(numbers)

"""``ncl`` inside the container: started as ``python -P -m runner.ncl`` by the command of the image.

Works in any folder and without the runner, and loads only what it needs, because an agent waits
for it. Exit status as in ``render``; 2 also when the session's files are not there.
"""

import os
import sys
from collections.abc import Sequence

from contract.errors import BadContent, SchemaMismatch, SessionFileError
from contract.layout import RunnerPaths
from contract.ncl_answer import INVALID_ARGS, TRANSPORT_ERROR, Output, render, unanswered
from contract.table import Look
from runner.ncl_client.grammar import USAGE, parse_words
from runner.ncl_client.transport import TIMEOUT_SECONDS, TimedOutError, ask_host


def main(words: Sequence[str]) -> int:
    typed = parse_words(words)
    if typed.help:
        return _print(Output(USAGE))
    if typed.problem:
        return _print(unanswered(INVALID_ARGS, f"ncl: {typed.problem}", typed))
    if not typed.command:
        return _print(unanswered(INVALID_ARGS, f"ncl: missing command\n{USAGE}", typed))
    try:
        paths = RunnerPaths.from_environment(os.environ)
        frame = ask_host(paths, typed, typed.seconds or TIMEOUT_SECONDS)
    except TimedOutError as error:
        return _print(unanswered(TRANSPORT_ERROR, f"ncl: {error}", typed))
    except (SessionFileError, SchemaMismatch, BadContent) as error:
        text = f"ncl: cannot ask the host: {error}"
        return _print(unanswered(TRANSPORT_ERROR, text, typed))
    return _print(render(frame, typed, Look()))


def _print(output: Output) -> int:
    """Also to a reader that has gone away, and whatever the locale is."""
    stream = sys.stderr if output.to_stderr else sys.stdout
    if output.nothing:
        return output.status
    data = output.text.rstrip("\n") + "\n"
    try:
        stream.buffer.write(data.encode("utf-8", "backslashreplace"))
        stream.buffer.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # nothing is left to complain
    return output.status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

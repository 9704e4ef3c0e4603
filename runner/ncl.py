"""``ncl`` inside the container: started as ``python -P -m runner.ncl`` by the command of the image.

Works in any folder and without the runner, and loads only what it needs, because an agent waits
for it. Exit status as in ``render``; 2 also when the session's files are not there.
"""

import os
import sys
from collections.abc import Sequence

from contract.errors import BadContent, SchemaMismatch, SessionFileError
from contract.layout import RunnerPaths
from runner.ncl_client.grammar import USAGE, parse_words
from runner.ncl_client.render import UNANSWERED, Output, render
from runner.ncl_client.transport import TimedOutError, ask_host


def main(words: Sequence[str]) -> int:
    typed = parse_words(words)
    if typed.help:
        return _print(Output(USAGE))
    if not typed.command:
        return _print(Output(f"ncl: missing command\n{USAGE}", UNANSWERED, to_stderr=True))
    try:
        frame = ask_host(RunnerPaths.from_environment(os.environ), typed)
    except TimedOutError as error:
        return _print(Output(f"ncl: {error}", UNANSWERED, to_stderr=True))
    except (SessionFileError, SchemaMismatch, BadContent) as error:
        return _print(Output(f"ncl: cannot ask the host: {error}", UNANSWERED, to_stderr=True))
    return _print(render(frame, as_json=typed.json))


def _print(output: Output) -> int:
    stream = sys.stderr if output.to_stderr else sys.stdout
    data = output.text.rstrip("\n") + "\n"
    stream.buffer.write(data.encode("utf-8", "replace"))  # whatever the locale is
    stream.buffer.flush()
    return output.status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What steps of the set-up get in tests, and a server that says yes or no to keys."""

import http.server
import stat
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from nanoclaw.config import HostConfig
from setup.base import StepContext

GOOD_KEY = "sk-ant-api03-Zq8wX2mN5pLr7TvB9cDf3GhJ6k"


def context_of(
    config: HostConfig,
    answers: Mapping[str, str] | None = None,
    *,
    program: tuple[str, ...] = (sys.executable, "-m", "nanoclaw"),
    lines: list[str] | None = None,
    cancelled: bool = False,
) -> StepContext:
    """``lines`` collects everything that is said or goes into the log."""
    said = [] if lines is None else lines
    log_file = config.home / "logs" / "step.log"
    return StepContext(
        config, answers or {}, said.append, said.append, lambda: cancelled, program, log_file
    )


def write_program(file: Path, text: str) -> Path:
    """A shell script that can be started."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return file


@contextmanager
def model_server(status: int | None = None) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Its address, and the headers of every request. ``status`` None: as the key deserves."""
    seen: list[dict[str, str]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            seen.append({**headers, "path": self.path})
            shown = headers.get("authorization"), headers.get("x-api-key")
            good = f"Bearer {GOOD_KEY}" in shown or GOOD_KEY in shown
            self.send_response(status or (200 if good else 401))
            if status == 302:
                self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

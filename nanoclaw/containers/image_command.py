"""``nanoclaw image build``: the agent image, with its progress on the terminal.

Called by ``cli.commands``. Takes the same lock as the host's ``builder`` process, so that two
builds never run at once on one home. On a terminal one line is rewritten per output line of a step;
in a pipe or a log every line is printed.
"""

import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from nanoclaw.config import HostConfig, host_environment
from nanoclaw.containers.build_log import BuildLog
from nanoclaw.containers.build_network import read_build_network
from nanoclaw.containers.image import Progress, ensure_image
from nanoclaw.containers.payload import compile_for_image, unpack
from nanoclaw.errors import ContainerError, ExitCode
from nanoclaw.paths import HostPaths

LOCK_NAME = "builder"
MB = 1_000_000


def main(arguments: object, config: HostConfig) -> int:
    """Raises ContainerError; the command line prints it. There are no arguments yet."""
    from nanoclaw.containers.docker_runtime import DockerRuntime

    config.paths.ensure()
    screen = ProgressLines()
    with build_lock(config.paths), BuildLog(config.paths) as log:
        engine = DockerRuntime.connect(config.docker_host, config.paths.slug)

        def on_progress(progress: Progress) -> None:
            log.add(progress.text)
            screen.show(progress)

        try:
            image = ensure_image(
                engine, config, read_build_network(host_environment()), on_progress
            )
        finally:
            screen.finish()
        compile_for_image(engine, unpack(config.paths), image.image_id)
    verb = "is up to date" if image.reused else f"built in {image.seconds:.0f} s"
    sys.stdout.write(f"{image.tag} {verb}, {image.size_bytes / MB:.0f} MB\n")
    return ExitCode.DONE


class ProgressLines:
    """Build output for people: steps stay, what happens inside a step passes by."""

    def __init__(self) -> None:
        self._passing = sys.stdout.isatty()
        self._open = False

    def show(self, progress: Progress) -> None:
        if not self._passing or progress.text.startswith("Step "):
            self.finish()
            sys.stdout.write(progress.text + "\n")
        else:
            width = shutil.get_terminal_size().columns - 1
            text = "".join(c if c.isprintable() else " " for c in f"  {progress.text}")
            sys.stdout.write(f"\r\x1b[K{text[:width]}")
            self._open = True
        sys.stdout.flush()

    def finish(self) -> None:
        """Ends the passing line."""
        if self._open:
            sys.stdout.write("\r\x1b[K")
            sys.stdout.flush()
        self._open = False


@contextmanager
def build_lock(paths: HostPaths) -> Iterator[None]:
    """One build per home; raises ContainerError when another one is under way."""
    fd = os.open(paths.lock_file(LOCK_NAME), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _take(fd, paths)
        yield
    finally:
        os.close(fd)


def _take(fd: int, paths: HostPaths) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ContainerError(
            "the host is building the image already; follow it in "
            f"{paths.logs / 'build.log'} or with `nanoclaw status`"
        ) from None

"""Composition root of the ``builder`` process: one image and the code for it, then the end.

Started by ``sweep`` when the image is missing or our code is not compiled for it yet, and for
images of single groups (``run_group``); never by the supervisor. Its lock is the one that
``nanoclaw image build`` takes too. Progress goes to ``logs/build.log`` and, thinned out, to the
sweep, which shows it in the status; a failure leaves as this process's reason.
"""

import signal
import time
from typing import TYPE_CHECKING

from nanoclaw.config import host_environment
from nanoclaw.supervise.child import ChildContext

if TYPE_CHECKING:
    from nanoclaw.containers.group_image import GroupOrder
    from nanoclaw.containers.image import Progress

NAME = "builder"
PROGRESS_NOTE = "build"
PROGRESS_SECONDS = 0.5


def run(context: ChildContext) -> None:
    """Builds what is missing and nothing else. Raises ContainerError."""
    # Imported here: the sweep names this function and must not carry what a build needs.
    from nanoclaw.containers.build_log import BuildLog
    from nanoclaw.containers.build_network import read_build_network
    from nanoclaw.containers.docker_runtime import DockerRuntime
    from nanoclaw.containers.image import ensure_image
    from nanoclaw.containers.payload import compile_for_image, unpack

    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # nothing to tidy up: the engine drops the build
    config = context.config
    engine = DockerRuntime.connect(config.docker_host, config.paths.slug)
    reporter = _Reporter(context)
    context.ready()
    with BuildLog(config.paths) as log:

        def on_progress(progress: "Progress") -> None:
            log.add(progress.text)
            reporter.tell(progress)

        image = ensure_image(engine, config, read_build_network(host_environment()), on_progress)
    compile_for_image(engine, unpack(config.paths), image.image_id)


def run_group(order: "GroupOrder", context: ChildContext) -> None:
    """Builds the image of one group. Raises ContainerError with the reason for its agent."""
    from nanoclaw.containers.build_log import BuildLog
    from nanoclaw.containers.build_network import read_build_network
    from nanoclaw.containers.docker_runtime import DockerRuntime
    from nanoclaw.containers.group_image import ensure_group_image

    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    config = context.config
    engine = DockerRuntime.connect(config.docker_host, config.paths.slug)
    reporter = _Reporter(context)
    context.ready()
    with BuildLog(config.paths) as log:

        def on_progress(progress: "Progress") -> None:
            log.add(progress.text)
            reporter.tell(progress)

        network = read_build_network(host_environment())
        ensure_group_image(engine, config, order, network, on_progress)


class _Reporter:
    """Tells the sweep about steps, but not about every line."""

    def __init__(self, context: ChildContext) -> None:
        self._context = context
        self._next = 0.0

    def tell(self, progress: "Progress") -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + PROGRESS_SECONDS
        step = f"step {progress.step} of {progress.steps}: " if progress.steps else ""
        self._context.note(PROGRESS_NOTE, step + progress.text)

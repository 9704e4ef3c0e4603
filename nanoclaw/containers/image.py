"""Finding, fetching or building the agent image, with visible progress.

Used by the ``builder`` process and by ``nanoclaw image build``, which therefore build the same way
(R-223). An image that another installation has built from the same recipe is only given another
name. Nothing here runs in the sweep, so that a build blocks nobody (H-200).
"""

import io
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nanoclaw.config import HostConfig
from nanoclaw.containers.build_network import BuildNetwork
from nanoclaw.containers.recipe import BUILD_LABEL, HASH_LENGTH, Recipe, read_recipe, repository
from nanoclaw.errors import ContainerError

if TYPE_CHECKING:
    from nanoclaw.containers.docker_runtime import BuildOrder, DockerRuntime

CERTIFICATE_NAME = "host-ca.pem"
MAX_LINE = 200
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_STEP = re.compile(r"Step (\d+)/(\d+) :")
_LAST_LINES = 8
_OF_ONE_GROUP = re.compile(rf".+-[0-9a-f]{{{HASH_LENGTH}}}")
STEP_OF_BASE = 2
"""The first is the argument that names it, the second is FROM."""


@dataclass(frozen=True, slots=True)
class Progress:
    """One line of a build; ``step`` of ``steps`` is under way (0: not known yet)."""

    text: str
    step: int = 0
    steps: int = 0


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """``reused``: it was there already, perhaps under another name."""

    image_id: str
    tag: str
    size_bytes: int
    seconds: float
    reused: bool


OnProgress = Callable[[Progress], None]


def ensure_image(
    engine: "DockerRuntime", config: HostConfig, network: BuildNetwork, on_progress: OnProgress
) -> BuiltImage:
    """The image that containers start from: found, fetched or built. Raises ContainerError."""
    started = time.monotonic()
    if config.image:
        return _given_image(engine, config.image, on_progress, started)
    recipe = read_recipe(config)
    tag = f"{repository(config)}:{recipe.hash}"
    image_id = engine.find_image(recipe.label)
    reused = image_id is not None
    if image_id is None:
        for name in network.withheld:
            on_progress(Progress(f"{name} holds a password and is not passed to the build"))
        image_id = _build(engine, recipe, network, tag, on_progress)
    engine.tag_image(image_id, tag)
    engine.tag_image(image_id, f"{repository(config)}:latest")
    _forget_older(engine, repository(config), keep=recipe.hash)
    return BuiltImage(
        image_id, tag, engine.image_size(image_id), time.monotonic() - started, reused
    )


def _given_image(
    engine: "DockerRuntime", name: str, on_progress: OnProgress, started: float
) -> BuiltImage:
    image_id = engine.find_image_by_name(name)
    reused = image_id is not None
    if image_id is None:
        for line in _lines(engine.pull(name)):
            on_progress(Progress(line))
        image_id = engine.find_image_by_name(name)
    if image_id is None:
        raise ContainerError(f"the image {name} is not there and cannot be fetched")
    size = engine.image_size(image_id)
    return BuiltImage(image_id, name, size, time.monotonic() - started, reused)


def _build(
    engine: "DockerRuntime",
    recipe: Recipe,
    network: BuildNetwork,
    tag: str,
    on_progress: OnProgress,
) -> str:
    from nanoclaw.containers.docker_runtime import BuildOrder

    order = BuildOrder(
        context=build_context(recipe, network),
        tag=tag,
        labels={BUILD_LABEL: recipe.hash},
        arguments={**recipe.arguments, **network.arguments},
    )
    read_build(engine, order, recipe.arguments["BASE"], on_progress)
    image_id = engine.find_image(recipe.label)
    if image_id is None:
        raise ContainerError("the build ended without an image; see logs/build.log")
    return image_id


def read_build(
    engine: "DockerRuntime", order: "BuildOrder", base: str, on_progress: OnProgress
) -> None:
    """Follows one build to its end. Raises ContainerError with what went wrong and where."""
    step, steps, last = 0, 0, list[str]()
    try:
        for line in _lines(engine.build(order)):
            found = _STEP.match(line)
            if found:
                step, steps = int(found[1]), int(found[2])
            last = [*last[1 - _LAST_LINES :], line]
            on_progress(Progress(line, step, steps))
    except _BuildStepError as error:
        missing = base if step <= STEP_OF_BASE else ""
        raise ContainerError(_explained(str(error), last, missing)) from error


def build_context(recipe: Recipe, network: BuildNetwork) -> io.BytesIO:
    """A tar file with the recipe and nothing else (H-200)."""
    files = dict(recipe.files)
    if network.certificates is not None:
        files[CERTIFICATE_NAME] = network.certificates.read_bytes()
    return packed(files)


def packed(files: Mapping[str, bytes]) -> io.BytesIO:
    """A tar file of plain files."""
    target = io.BytesIO()
    import tarfile  # late: every process has this module, hardly any ever builds

    with tarfile.open(fileobj=target, mode="w") as tar:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    target.seek(0)
    return target


class _BuildStepError(Exception):
    """The engine reported that a step failed."""


def _lines(answers: Iterator[Mapping[str, object]]) -> Iterator[str]:
    """The engine's answers as plain lines; it cuts a line wherever a program paused, and colours
    what came from standard error. Raises _BuildStepError for a failed step."""
    begun = ""
    for answer in answers:
        failure = answer.get("error")
        if failure:
            yield from _whole(begun)
            raise _BuildStepError(str(failure))
        status = answer.get("status")
        if status:
            yield from _whole(str(status))
        *ended, begun = (begun + _COLOUR.sub("", str(answer.get("stream") or ""))).split("\n")
        for line in ended:
            yield from _whole(line)
        if len(begun) > MAX_LINE:
            yield from _whole(begun)
            begun = ""
    yield from _whole(begun)


def _whole(line: str) -> Iterator[str]:
    if line.strip():
        yield line.rstrip()[:MAX_LINE]


def _explained(failure: str, last: list[str], missing_base: str) -> str:
    """What went wrong and what to do, in one paragraph."""
    if missing_base:
        return (
            f"the base image {missing_base} is not there and cannot be fetched ({failure}); "
            "fetch it yourself, name another one with base_image, or run tools/engine-up"
        )
    tail = " | ".join(line for line in last[-3:] if not line.startswith("Step "))
    return f"{failure} ({tail}); the whole log is in logs/build.log"


def _forget_older(engine: "DockerRuntime", name: str, keep: str) -> None:
    """Takes our name off images of older recipes; those in use by a container stay.

    Images of single groups have names of another form (``group_image``) and are not meant.
    """
    for tag in engine.tags_of(name):
        version = tag.rpartition(":")[2]
        if version not in (keep, "latest") and not _OF_ONE_GROUP.fullmatch(version):
            engine.untag_image(tag)

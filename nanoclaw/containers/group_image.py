"""The image of one agent group: that of all agents and the packages of this group (H-199).

Built by the ``builder`` process, one at a time. Its name holds a hash over everything that is in
it, so that an image that is there is the right one and is never built twice. Names of packages
stand in files of the build, never in a command.
"""

import hashlib
import io
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nanoclaw.config import HostConfig
from nanoclaw.containers.build_network import BuildNetwork
from nanoclaw.containers.image import (
    CERTIFICATE_NAME,
    BuiltImage,
    OnProgress,
    packed,
    read_build,
)
from nanoclaw.containers.packages import PackageSet, listed, problem_of
from nanoclaw.containers.recipe import BUILD_LABEL, HASH_LENGTH, read_recipe, repository
from nanoclaw.errors import ContainerError

if TYPE_CHECKING:
    from nanoclaw.containers.docker_runtime import DockerRuntime

KEPT_EARLIER = 2
"""The engine lists the newest image first. What the group starts from just now is among them."""
GROUP_LABEL = f"{BUILD_LABEL}=group"
"""The base's own label is inherited by every step, so the first one writes over it: neither an
image of one group nor what a failed build leaves may ever be taken for the image of all."""
_EARLIER = re.compile(r"nanoclaw-agent-v2-[0-9a-f]{8}:")
"""Images of the earlier program, whose runner is not ours."""
_GROUP_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}", re.ASCII)

DOCKERFILE = (
    f"""\
ARG BASE
FROM ${{BASE}}
LABEL {GROUP_LABEL}
"""
    + """\
USER root
ARG DEBIAN_FRONTEND=noninteractive
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
ARG PIP_DEFAULT_TIMEOUT
ARG NPM_CONFIG_REGISTRY
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
WORKDIR /opt/nanoclaw/group
COPY apt.txt npm.txt pip.txt host-ca.pe[m] ./
RUN if [[ -s apt.txt ]]; then \\
      apt-get update -qq \\
   && xargs -r -a apt.txt apt-get install -y -qq --no-install-recommends -- \\
   && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*; \\
    fi
RUN if [[ -s npm.txt ]]; then \\
      if [[ -s host-ca.pem ]]; then export NODE_EXTRA_CA_CERTS=$PWD/host-ca.pem; fi \\
   && export HOME=/root PNPM_HOME=/pnpm \\
   && unset NPM_CONFIG_PREFIX \\
   && mapfile -t names <npm.txt \\
   && pnpm add --global "${names[@]/#/--allow-build=}" "${names[@]/%/@latest}" \\
   && rm -rf /pnpm/store /root/.cache /root/.local; \\
    fi
RUN if [[ -s pip.txt ]]; then \\
      if [[ -s host-ca.pem ]]; then export PIP_CERT=$PWD/host-ca.pem; fi \\
   && export HOME=/root \\
   && unset PYTHONUSERBASE \\
   && xargs -r -a pip.txt python3 -m pip install -q --disable-pip-version-check \\
        --no-cache-dir --root-user-action ignore --; \\
    fi
ENV NODE_PATH=/pnpm/global/5/node_modules
USER node
WORKDIR /workspace/agent
"""
)


@dataclass(frozen=True, slots=True)
class GroupOrder:
    """One image to be built. ``base_id`` says what the base is, ``base`` is a name of it."""

    agent_group_id: str
    packages: PackageSet
    base: str
    base_id: str

    @property
    def hash(self) -> str:
        digest = hashlib.sha256(f"{DOCKERFILE}\0{self.base_id}\0".encode())
        for kind, names in self.packages.by_kind():
            digest.update(f"{kind}\0{' '.join(names)}\0".encode())
        return digest.hexdigest()[:HASH_LENGTH]

    def tag(self, image_base: str) -> str:
        """The image's name; equal content, equal name."""
        group = self.agent_group_id
        if not _GROUP_ID.fullmatch(group):
            group = hashlib.sha256(group.encode()).hexdigest()[:HASH_LENGTH]
        return f"{image_base}:{group}-{self.hash}"


def group_order(
    config: HostConfig, agent_group_id: str, packages: PackageSet, base_id: str
) -> GroupOrder:
    """For the base that this installation uses now. Raises ContainerError.

    A base of our own recipe is known by that recipe, so that building it anew for lack of the
    image leaves the groups' images as they are.
    """
    if config.image:
        return GroupOrder(agent_group_id, packages, config.image, base_id)
    recipe = read_recipe(config)
    return GroupOrder(agent_group_id, packages, f"{repository(config)}:{recipe.hash}", recipe.hash)


@dataclass(frozen=True, slots=True)
class UseBase:
    """The image of all agents (H-201)."""


@dataclass(frozen=True, slots=True)
class UseImage:
    """This one; it is there unless somebody has removed it."""

    tag: str


@dataclass(frozen=True, slots=True)
class NeedsBuild:
    """There is none with these packages on today's base."""

    order: GroupOrder


ImageChoice = UseBase | UseImage | NeedsBuild


def choose_image(stored: str | None, order: GroupOrder, image_base: str) -> ImageChoice:
    """What a container of the group starts from (H-186).

    A name that is not one of ours was chosen by the operator, who knows what is in it.
    """
    ours = stored is None or stored.startswith(f"{image_base}:") or bool(_EARLIER.match(stored))
    if stored is not None and not ours:
        return UseImage(stored)
    if not len(order.packages):
        return UseBase()
    tag = order.tag(image_base)
    return UseImage(tag) if stored == tag else NeedsBuild(order)


def ensure_group_image(
    engine: "DockerRuntime",
    config: HostConfig,
    order: GroupOrder,
    network: BuildNetwork,
    on_progress: OnProgress,
) -> BuiltImage:
    """Found or built. Raises ContainerError with the reason in words for the agent."""
    started = time.monotonic()
    problem = problem_of(order.packages)
    if problem is not None:
        raise ContainerError(problem)
    tag = order.tag(repository(config))
    image_id = engine.find_image_by_name(tag)
    reused = image_id is not None
    if image_id is None:
        image_id = _build(engine, order, network, tag, on_progress)
    forget_older(engine, repository(config), order, keep=tag)
    return BuiltImage(
        image_id, tag, engine.image_size(image_id), time.monotonic() - started, reused
    )


def _build(
    engine: "DockerRuntime",
    order: GroupOrder,
    network: BuildNetwork,
    tag: str,
    on_progress: OnProgress,
) -> str:
    from nanoclaw.containers.docker_runtime import BuildOrder

    build = BuildOrder(
        context=build_context(order.packages, network),
        tag=tag,
        labels={},
        arguments={"BASE": order.base, **network.arguments},
    )
    try:
        read_build(engine, build, order.base, on_progress)
    finally:
        with suppress(ContainerError):  # only room on the disk; the next build tries again
            engine.prune_images(GROUP_LABEL)
    image_id = engine.find_image_by_name(tag)
    if image_id is None:
        raise ContainerError(f"the build of {listed(order.packages)} ended without an image")
    return image_id


def build_context(packages: PackageSet, network: BuildNetwork) -> io.BytesIO:
    """A tar file with the recipe and the names, and nothing else (H-200)."""
    files: dict[str, bytes] = {"Dockerfile": DOCKERFILE.encode()}
    for kind, names in packages.by_kind():
        files[f"{kind}.txt"] = "".join(f"{name}\n" for name in names).encode()
    if network.certificates is not None:
        files[CERTIFICATE_NAME] = network.certificates.read_bytes()
    return packed(files)


def forget_older(engine: "DockerRuntime", name: str, order: GroupOrder, keep: str) -> None:
    """Takes our name off earlier images of this group (W-61); one in use by a container stays.

    The last ones are kept: until the new one is stored, the group starts from one of them.
    """
    own = keep.rpartition("-")[0] + "-"
    earlier = [tag for tag in engine.tags_of(name) if tag.startswith(own) and tag != keep]
    for tag in earlier[KEPT_EARLIER:]:
        engine.untag_image(tag)

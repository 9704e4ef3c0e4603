"""Which image a group's containers start from, and what happens while that one is not there.

Owned by ``starter``. An image that is gone, or was made from an older base, is built again before
the group starts: its packages are part of what it was promised. The stored name follows what is
there, never the other way round.
"""

import logging
import sqlite3
from collections.abc import Callable

from contract.clock import utc_now
from nanoclaw.config import HostConfig
from nanoclaw.containers.group_image import (
    GroupOrder,
    NeedsBuild,
    UseBase,
    UseImage,
    choose_image,
    group_order,
)
from nanoclaw.containers.packages import PackageSet, stored_packages
from nanoclaw.containers.recipe import repository
from nanoclaw.db import container_configs
from nanoclaw.db.container_configs import ContainerConfigChange
from nanoclaw.errors import ContainerError
from nanoclaw.events import BuildImage, ImageBuilt
from nanoclaw.model import ContainerConfig
from nanoclaw.sweep.engine import Engine
from nanoclaw.sweep.group_builds import GroupBuilds

log = logging.getLogger(__name__)


class BeingBuilt(Exception):  # noqa: N818  reads as the state it reports
    """Not now: the group's image is on its way."""


class GroupImages:
    """Every method runs on the sweep's reactor."""

    def __init__(
        self, conn: sqlite3.Connection, config: HostConfig, engine: Engine, builds: GroupBuilds
    ) -> None:
        self._conn = conn
        self._config = config
        self._engine = engine
        self._builds = builds
        self._gone: set[str] = set()
        self._failures: dict[str, str] = {}

    def order(self, config: ContainerConfig, packages: PackageSet | None = None) -> GroupOrder:
        """For the packages that are stored, or for others. Raises ContainerError."""
        if packages is None:
            packages = stored_packages(config)
        base_id = self._engine.image_id or ""
        return group_order(self._config, config.agent_group_id, packages, base_id)

    def build(self, wanted: BuildImage, answer: Callable[[ImageBuilt], None]) -> None:
        """For somebody who wants to store the packages when their image is there (W-59)."""
        packages = PackageSet.of(wanted.apt, wanted.npm, wanted.pip)
        try:
            order = self.order(ContainerConfig(wanted.agent_group_id, utc_now()), packages)
        except ContainerError as error:
            answer(ImageBuilt(detail=str(error)))
            return
        self._builds.want(order, answer)

    def close(self) -> None:
        self._builds.close()

    def image_for(self, config: ContainerConfig) -> str:
        """Raises BeingBuilt, and ContainerError when the last build of it failed."""
        base = self._engine.image_id or ""
        if not self._engine.is_docker:
            return base
        image_base = repository(self._config)
        match choose_image(config.image_tag, self.order(config), image_base):
            case UseBase():
                return base
            case UseImage(tag) if tag not in self._gone:
                return tag
            case UseImage(tag):
                order = self.order(config)
                if order.tag(image_base) != tag:
                    raise ContainerError(f"the image {tag} of its group is not there any more")
                self._want(order)
            case NeedsBuild(order):
                self._want(order)
        raise BeingBuilt("its group's image is being built")

    def is_own(self, image: str) -> bool:
        """Whether it is some group's and not that of all."""
        return bool(image) and image != self._engine.image_id

    def gone(self, tag: str) -> None:
        """Somebody has removed it."""
        log.warning("group image gone", extra={"reason": tag})
        self._gone.add(tag)

    def _want(self, order: GroupOrder) -> None:
        tag = order.tag(repository(self._config))
        failure = self._failures.pop(tag, None)
        if failure is not None:  # told once; the start after this one tries again
            raise ContainerError(f"the image of its group cannot be built: {failure}")
        self._builds.want_once(order, lambda answer: self._on_built(order, tag, answer))

    def _on_built(self, order: GroupOrder, tag: str, answer: ImageBuilt) -> None:
        if answer.tag is None:
            if not answer.passing:
                self._failures[tag] = answer.detail
            return
        self._gone.discard(tag)
        config = container_configs.get(self._conn, order.agent_group_id)
        if config is not None and stored_packages(config) == order.packages:
            change = ContainerConfigChange(image_tag=tag)
            container_configs.update(self._conn, order.agent_group_id, change, utc_now())

"""Images of single groups: orders wait in a queue, one build at a time, equal ones are one.

Owned by ``loop``, for requests of the delivery process, and by ``starter``, for images that are
gone. Shares the ``builder`` process's place with ``builds``: the image of all agents goes first,
because nothing can be built without it. Orders live in memory only; whoever wants an image asks
again, and one that is there is answered at once.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from nanoclaw.config import HostConfig
from nanoclaw.containers.build_process import BuildProcess
from nanoclaw.containers.group_image import GroupOrder
from nanoclaw.containers.recipe import repository
from nanoclaw.events import ImageBuilt
from nanoclaw.reactor import Reactor
from nanoclaw.supervise.child import ChildContext
from nanoclaw.sweep.engine import Engine, EngineState

MAX_WAITING = 32
LOOK_AGAIN_SECONDS = 1.0

GroupEntry = Callable[[GroupOrder, ChildContext], None]
OnBuilt = Callable[[ImageBuilt], None]

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Wanted:
    order: GroupOrder
    tell: list[OnBuilt] = field(default_factory=list)


class GroupBuilds:
    """Every method runs on the reactor; callbacks come later, exactly once, unless we stop."""

    def __init__(
        self, reactor: Reactor, config: HostConfig, engine: Engine, entry: GroupEntry | None
    ) -> None:
        self._reactor = reactor
        self._config = config
        self._engine = engine
        self._entry = entry
        self._waiting: dict[str, _Wanted] = {}
        self._process: BuildProcess | None = None
        self._planned = False
        engine.builds.is_blocked = lambda: self._process is not None

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def want(self, order: GroupOrder, on_built: OnBuilt) -> str:
        """The image's name, whenever it is there. The builder looks whether it is there already."""
        tag = order.tag(repository(self._config))
        wanted = self._waiting.get(tag)
        if wanted is None:
            refusal = self._refusal()
            if refusal is not None:
                self._reactor.post(lambda: on_built(refusal))
                return tag
            wanted = self._waiting[tag] = _Wanted(order)
        wanted.tell.append(on_built)
        self._look_soon(0)
        return tag

    def want_once(self, order: GroupOrder, on_built: OnBuilt) -> None:
        """The same, for one who asks again and again: while it is wanted nothing is added."""
        if order.tag(repository(self._config)) not in self._waiting:
            self.want(order, on_built)

    def close(self) -> None:
        if self._process is not None:
            self._process.stop()
            self._process = None

    def _refusal(self) -> ImageBuilt | None:
        if self._entry is None or not self._engine.is_docker:
            return ImageBuilt(detail="agents of this host run without containers, so nothing "
                              "can be installed for them")  # fmt: skip
        if len(self._waiting) >= MAX_WAITING:
            return ImageBuilt(detail="too many images are to be built already", passing=True)
        return None

    def _look_soon(self, seconds: float) -> None:
        if not self._planned:
            self._planned = True
            self._reactor.call_later(seconds, self._look)

    def _look(self) -> None:
        self._planned = False
        if self._process is not None or not self._waiting:
            return
        if self._engine.builds.is_running or self._engine.state is EngineState.BUILDING:
            self._look_soon(LOOK_AGAIN_SECONDS)
            return
        tag, wanted = next(iter(self._waiting.items()))
        if self._engine.state is not EngineState.READY:
            reason = f"images cannot be built just now: {self._engine.state.value}"
            self._finish(tag, ImageBuilt(detail=reason, passing=True))
            return
        self._start(tag, wanted.order)

    def _start(self, tag: str, order: GroupOrder) -> None:
        assert self._entry is not None, "an order is taken only where one can be built"
        process = BuildProcess(
            self._reactor, lambda _: None, lambda reason: self._on_end(tag, reason)
        )
        try:
            process.start(self._config, partial(self._entry, order))
        except OSError as error:
            detail = f"the builder cannot be started: {error}"
            self._finish(tag, ImageBuilt(detail=detail, passing=True))
            return
        self._process = process
        log.info("group image build started", extra={"group": order.agent_group_id, "reason": tag})

    def _on_end(self, tag: str, reason: str | None) -> None:
        self._process = None
        if reason is None:
            log.info("group image is there", extra={"reason": tag})
            self._finish(tag, ImageBuilt(tag=tag))
            return
        log.warning("group image not built", extra={"reason": f"{tag}: {reason}"})
        # A builder that died with the engine says nothing about the packages.
        passing = self._engine.state is not EngineState.READY
        self._finish(tag, ImageBuilt(detail=reason, passing=passing))

    def _finish(self, tag: str, answer: ImageBuilt) -> None:
        wanted = self._waiting.pop(tag)
        for tell in wanted.tell:
            tell(answer)
        if self._waiting:
            self._look_soon(0)

"""Waits a moment for an effect that the delivery process carries out.

For commands of the host's own user that change a session's files: whoever typed them wants to know
what came of it. It goes on without a listener; what is pending then is said to be so.
"""

from collections.abc import Callable, Mapping
from contextlib import closing

from nanoclaw.admin.context import Finish, Services
from nanoclaw.admin.problems import CommandError
from nanoclaw.db import effects
from nanoclaw.db.connection import open_read_only
from nanoclaw.db.effects import Effect, EffectState
from nanoclaw.errors import StateError
from nanoclaw.paths import HostPaths

LOOK_SECONDS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 1.8)
"""Five seconds in all."""

PENDING_NOTE = (
    "it is recorded and will be done; the delivery process has not come to it yet, see `ncl status`"
)


def wait_for_effect(
    paths: HostPaths, effect_id: str, asked: Mapping[str, object]
) -> Callable[[Services, Finish], None]:
    """For ``Later``: finishes with ``asked`` and how the effect stands."""

    def begin(services: Services, finish: Finish) -> None:
        _Wait(paths, effect_id, dict(asked), services, finish).look(0)

    return begin


class _Wait:
    """One effect; opens the database for each look, since nobody owns a connection meanwhile."""

    def __init__(
        self,
        paths: HostPaths,
        effect_id: str,
        asked: dict[str, object],
        services: Services,
        finish: Finish,
    ) -> None:
        self._paths = paths
        self._effect_id = effect_id
        self._asked = asked
        self._services = services
        self._finish = finish

    def look(self, number: int) -> None:
        try:
            effect = self._read()
        except StateError as error:
            self._finish(CommandError(str(error)))
            return
        if effect is None or effect.state is EffectState.DONE:
            result = effect.result if effect is not None else None
            self._finish({**self._asked, "state": EffectState.DONE.value, "result": result})
        elif effect.state is EffectState.FAILED:
            self._finish(CommandError(effect.last_error or effect.result or "it failed"))
        elif number == len(LOOK_SECONDS):
            state = EffectState.PENDING.value
            self._finish({**self._asked, "state": state, "note": PENDING_NOTE})
        else:
            self._services.call_later(LOOK_SECONDS[number], lambda: self.look(number + 1))

    def _read(self) -> Effect | None:
        with closing(open_read_only(self._paths.central_db)) as conn:
            return effects.get(conn, self._effect_id)

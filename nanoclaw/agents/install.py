"""Packages that agents ask for: from the request to a container that has them (H-257, H-258).

Three effects: ``action:install_packages`` asks a person; ``install_packages`` is what was approved;
``build_group_image`` has the image built and only then stores packages and image together, so that
a package that cannot be installed changes nothing (W-59). The last one belongs to no session: a
build takes minutes, and what the agent wants next need not wait for it.
"""

import sqlite3
from dataclasses import dataclass, replace
from datetime import datetime

from contract.actions import InstallPackages
from contract.clock import utc_now
from contract.content import parse_outbound
from contract.errors import BadContent
from contract.inbound.row import MessageKind
from contract.jsontext import dump, parse_object
from contract.killpoint import reached
from nanoclaw.agents import words
from nanoclaw.agents.asking import Asked, ask_people
from nanoclaw.agents.create import read_before
from nanoclaw.agents.restarts import begin_restart
from nanoclaw.agents.tell import session_of, tell
from nanoclaw.approvals import cards
from nanoclaw.audit import AuditEntry
from nanoclaw.audit import record as audit
from nanoclaw.bell import DELIVERY, ring
from nanoclaw.containers.packages import (
    MAX_PER_REQUEST,
    PackageSet,
    listed,
    problem_of,
    stored_packages,
)
from nanoclaw.db import agent_groups, container_configs, effects, sessions
from nanoclaw.db.connection import transaction
from nanoclaw.db.container_configs import ContainerConfigChange
from nanoclaw.db.effects import Effect, NewEffect
from nanoclaw.effects.base import Again, Done, EffectContext, Failed, HandlerResult, UnderWay
from nanoclaw.effects.decide import LIFETIME
from nanoclaw.effects.request import parse_request
from nanoclaw.events import BuildImage, ImageBuilt
from nanoclaw.link import Answer
from nanoclaw.model import Session
from nanoclaw.policy.binding import payload_hash
from nanoclaw.sessions.restart import Restart

ACTION = "install_packages"
BUILD = "build_group_image"
BUILD_SECONDS = 1800.0
"""Longer than one build may take, because others may be before it."""
RETRY_SECONDS = 15.0
MAX_PAYLOAD_BYTES = 256 * 1024
MAX_REASON = 4096


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What ``build_group_image`` is to bring about. ``exact``: these and no others.

    ``session_id`` is told how it went; None: nobody is.
    """

    agent_group_id: str
    packages: PackageSet
    exact: bool = False
    session_id: str | None = None
    approval_id: str | None = None

    def goal(self, stored: PackageSet) -> PackageSet:
        """What the group has afterwards."""
        return self.packages if self.exact else stored.with_more(self.packages)


# --- asking ---------------------------------------------------------------------------------------


def ask(context: EffectContext, effect: Effect) -> HandlerResult:
    """``action:install_packages``: asks a person."""
    session = session_of(context, effect)
    if session is None:
        return Failed("the session that asked is gone")
    request = parse_request(effect.payload)
    try:
        wanted, action = _wanted(request.content)
    except BadContent as error:
        text = words.not_usable("Your request for packages", str(error))
        tell(context, effect, session, text)
        return Failed(text)
    stored = _stored(context.conn, session.agent_group_id)
    if stored.covers(wanted):
        tell(context, effect, session, words.installed_already(listed(wanted)))
        return Done("nothing to install")
    card = _card(context, session, _Wish(wanted, stored, action.reason, request.taint))
    payload = {"action": ACTION, **wanted.plain(), "reason": action.reason[:MAX_REASON]}
    ask_people(context, effect, session, Asked(ACTION, dump(payload), "Install packages?", card))
    reached("host.packages_requested")
    ring(context.paths, DELIVERY)
    return Done("a person is asked")


def _wanted(text: str) -> tuple[PackageSet, InstallPackages]:
    """Raises BadContent in words for the agent."""
    action = parse_outbound(MessageKind.SYSTEM, text)
    if not isinstance(action, InstallPackages):
        raise BadContent("it is no request for packages")
    packages = PackageSet.of(action.apt, action.npm, action.pip)
    if not len(packages):
        raise BadContent("it names no package")
    problem = problem_of(packages, MAX_PER_REQUEST)
    if problem is not None:
        raise BadContent(problem)
    return packages, action


@dataclass(frozen=True, slots=True)
class _Wish:
    wanted: PackageSet
    stored: PackageSet
    reason: str
    taint: str | None


def _card(context: EffectContext, session: Session, wish: _Wish) -> str:
    group = agent_groups.get(context.conn, session.agent_group_id)
    name = group.name if group is not None else session.agent_group_id
    lines = [f"{cards.shown(name)} wants packages in its container. They bring programs of others."]
    for kind, names in wish.wanted.by_kind():
        lines += cards.listing(f"New from {kind}", names)
    lines.append(f"reason it gives: {cards.code(wish.reason)}")
    lines += read_before(wish.taint)
    before, after = listed(wish.stored), listed(wish.stored.with_more(wish.wanted))
    lines.append(cards.change("all packages", before or None, after))
    return cards.body(lines)


# --- approved -------------------------------------------------------------------------------------


def carry_out(context: EffectContext, effect: Effect) -> HandlerResult:
    """``install_packages``: hands over to a build."""
    wanted, _ = _wanted(effect.payload)
    build = BuildRequest(
        agent_group_id=effect.agent_group_id or "",
        packages=wanted,
        session_id=effect.session_id,
        approval_id=effect.approval_id,
    )
    with transaction(context.conn):
        request_build(context.conn, build, effect.requested_by, (effect.effect_id, context.now))
    reached("host.build_requested")
    ring(context.paths, DELIVERY)
    return Done(f"{listed(wanted)} is to be built")


def request_build(
    conn: sqlite3.Connection,
    build: BuildRequest,
    requested_by: str,
    cause: tuple[str, datetime],
) -> None:
    """Inside the caller's transaction; for the administration too. Ring DELIVERY afterwards.

    ``cause`` is what makes the id, and the time.
    """
    payload = dump(
        {
            "agentGroupId": build.agent_group_id,
            "packages": build.packages.plain(),
            "exact": build.exact,
            "sessionId": build.session_id,
            "approvalId": build.approval_id,
        }
    )
    effects.record(
        conn,
        NewEffect(
            effect_id=f"build/{cause[0]}",
            kind=BUILD,
            requested_by=requested_by,
            payload=payload,
            payload_hash=payload_hash(payload),
            created_at=cause[1],
            agent_group_id=build.agent_group_id,
        ),
    )


# --- building -------------------------------------------------------------------------------------


def build(context: EffectContext, effect: Effect) -> HandlerResult:
    """``build_group_image``: the image first, then everything else."""
    request = _parsed(effect.payload)
    config = container_configs.get(context.conn, request.agent_group_id)
    if config is None and agent_groups.get(context.conn, request.agent_group_id) is None:
        return Failed("its agent group is gone")
    goal = request.goal(_stored(context.conn, request.agent_group_id))
    problem = problem_of(goal)
    if problem is not None:
        return _failed(context, effect, request, problem)
    step = _Step(request, goal)
    if not len(goal):  # H-201: the image of all agents is there already
        return _finish(context, effect, step)

    def on_answer(answer: Answer) -> None:
        later = replace(context, now=utc_now())
        context.go_on(effect.effect_id, lambda: _on_built(later, effect, step, answer))

    frame = BuildImage(request.agent_group_id, goal.apt, goal.npm, goal.pip)
    context.requests.to_sweep(frame, BUILD_SECONDS, on_answer)
    return UnderWay()


@dataclass(frozen=True, slots=True)
class _Step:
    """One attempt: what is wanted, what the group would have, and the image with it.

    ``tag`` None: the image of all agents.
    """

    request: BuildRequest
    goal: PackageSet
    tag: str | None = None


def _on_built(context: EffectContext, effect: Effect, step: _Step, answer: Answer) -> HandlerResult:
    """The image is there or not; raises what handlers may raise."""
    if not isinstance(answer, ImageBuilt):
        return _later(context, effect, step.request, f"the sweep does not answer: {answer}")
    if answer.tag is not None:
        return _finish(context, effect, replace(step, tag=answer.tag))
    if answer.passing:
        return _later(context, effect, step.request, answer.detail)
    return _failed(context, effect, step.request, answer.detail)


def _later(
    context: EffectContext, effect: Effect, request: BuildRequest, reason: str
) -> HandlerResult:
    """The runner does not know which agent waits for a build, so its end is told here."""
    if context.now - effect.created_at >= LIFETIME:
        return _failed(context, effect, request, reason)
    return Again(reason, RETRY_SECONDS)


def _finish(context: EffectContext, effect: Effect, step: _Step) -> HandlerResult:
    """Stores packages and image in one transaction, then has containers begin anew."""
    conn, request = context.conn, step.request
    with transaction(conn):
        if agent_groups.get(conn, request.agent_group_id) is None:
            return Failed("its agent group is gone")
        container_configs.ensure(conn, request.agent_group_id, context.now)
        config = container_configs.get(conn, request.agent_group_id)
        assert config is not None, "it was ensured in this transaction"
        stored = stored_packages(config)
        if request.goal(stored) != step.goal:
            return Again("other packages were stored meanwhile", 0.0)
        changed_at = config.updated_at
        if stored != step.goal or config.image_tag != step.tag:
            _store(context, effect, step, stored)
            changed_at = context.now
    reached("host.packages_stored")
    restart = Restart(
        agent_group_id=request.agent_group_id,
        cause=effect.effect_id,
        reason="its packages have changed",
        asked_at=effect.created_at,
        changed_at=changed_at,
        message=words.installed(listed(request.packages)) if request.session_id else None,
        only_for=request.session_id,
    )
    done = Done(f"{listed(step.goal) or 'no packages'} in {step.tag or 'the image of all'}")
    return begin_restart(context, effect.effect_id, restart, done)


def _store(context: EffectContext, effect: Effect, step: _Step, stored: PackageSet) -> None:
    conn, goal, request = context.conn, step.goal, step.request
    change = ContainerConfigChange(
        packages_apt=goal.apt, packages_npm=goal.npm, packages_pip=goal.pip, image_tag=step.tag
    )
    container_configs.update(conn, request.agent_group_id, change, context.now)
    entry = AuditEntry(
        kind="agent.packages_changed",
        actor=effect.requested_by,
        subject=request.agent_group_id,
        detail={
            "before": stored.plain(),
            "after": goal.plain(),
            "image": step.tag,
            "approval": request.approval_id,
            "effect": effect.effect_id,
        },
        agent_group_id=request.agent_group_id,
        session_id=request.session_id,
    )
    audit(conn, entry, context.now)


def _failed(
    context: EffectContext, effect: Effect, request: BuildRequest, reason: str
) -> HandlerResult:
    """Nothing was stored; the agent learns why."""
    session = sessions.get(context.conn, request.session_id or "")
    if session is not None:
        text = words.not_installed(listed(request.packages), words.shortened(reason))
        tell(context, effect, session, text)
    return Failed(reason)


def _stored(conn: sqlite3.Connection, agent_group_id: str) -> PackageSet:
    config = container_configs.get(conn, agent_group_id)
    return PackageSet() if config is None else stored_packages(config)


def _parsed(payload: str) -> BuildRequest:
    """Raises BadContent for what ``request_build`` has not written."""
    value = parse_object(payload, max_bytes=MAX_PAYLOAD_BYTES)
    packages = InstallPackages.read(value.get("packages"))
    agent_group_id = value.get("agentGroupId")
    if not isinstance(agent_group_id, str):
        raise BadContent("the build names no agent group")
    return BuildRequest(
        agent_group_id=agent_group_id,
        packages=PackageSet.of(packages.apt, packages.npm, packages.pip),
        exact=value.get("exact") is True,
        session_id=_text(value.get("sessionId")),
        approval_id=_text(value.get("approvalId")),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None

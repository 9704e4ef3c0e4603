"""Reads what decides about one host for one agent: mode, rules, the owner's answers, a service.

Used by the vault inside the transaction that records the decision, and by ``ncl egress test``. A
stored text that cannot be read any more allows nothing, and denies the whole host.
"""

import logging
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from nanoclaw.db import container_configs, egress_rules, services
from nanoclaw.db.egress_rules import EgressEffect, EgressRule
from nanoclaw.db.services import Service
from nanoclaw.model import EgressMode
from nanoclaw.policy.egress.decide import Source, Stored
from nanoclaw.policy.egress.hosts import EgressRuleError, covering, shown
from nanoclaw.policy.egress.rule import Rule, parse_rule

KEPT_RULES = 4096

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Asking:
    """Who wants out. ``session_id`` None: nobody in particular, so nothing was allowed once."""

    agent_group_id: str
    session_id: str | None = None
    lease: int = 0


@dataclass(frozen=True, slots=True)
class EgressFacts:
    mode: EgressMode
    rules: tuple[Stored, ...]


def read_facts(
    conn: sqlite3.Connection, asking: Asking, place: tuple[str, int, bool], now: datetime
) -> EgressFacts:
    """``place``: normal host, port, and whether the connection is encrypted."""
    host, port, tls = place
    config = container_configs.get(conn, asking.agent_group_id)
    mode = (config.egress_mode if config is not None else None) or EgressMode.ALLOWLIST
    found = list(_settings(config.egress_allow if config is not None else ()))
    for row in egress_rules.for_host(conn, asking.agent_group_id, covering(host), now):
        if row.once is None or (row.once.session_id, row.once.lease) == (
            asking.session_id,
            asking.lease,
        ):
            found.extend(_of_row(row))
    service = services.for_host(conn, asking.agent_group_id, host, port) if tls else None
    if service is not None:
        found.extend(_of_service(service, host))
    return EgressFacts(mode, tuple(found))


def _settings(texts: Iterable[str]) -> Iterable[Stored]:
    for text in texts:
        rule = _parsed(text)
        if rule is not None:
            yield Stored(Source.GROUP, rule, f"group setting: {rule.text}")


def _of_row(row: EgressRule) -> Iterable[Stored]:
    rule = _parsed(row.text)
    if row.effect is EgressEffect.DENY:
        kept = rule or Rule(row.host, row.subdomains)
        yield Stored(Source.DENY, kept, f"deny {kept.text} ({row.rule_id})")
    elif rule is not None:
        source = Source.INSTALL if row.agent_group_id is None else Source.GROUP
        word = "allow"
        if row.once is not None:
            source, word = Source.ONCE, "once"
        yield Stored(source, rule, f"{word} {rule.text} ({row.rule_id})")


def _of_service(service: Service, host: str) -> Iterable[Stored]:
    """One rule per path that the service names, all with its methods."""
    for path in service.paths or ("",):
        rule = Rule(
            host,
            ports=service.ports,
            methods=service.methods,
            path="" if path == "/" else path,
        )
        yield Stored(Source.SERVICE, rule, f"service {service.name}", service.name)


@lru_cache(KEPT_RULES)
def _parsed(text: str) -> Rule | None:
    try:
        return parse_rule(text)
    except EgressRuleError as error:
        log.warning("egress rule not readable", extra={"reason": f"{shown(text)}: {error}"})
        return None

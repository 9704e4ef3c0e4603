"""One rule of egress as a line of text: ``[METHOD[,METHOD]] host[:port[,port]][/path] [local]``.

Pure; used by ``ncl egress``, the settings of agent groups, the owner's cards and the vault. Strict:
what cannot be read is refused with the next step, and ``parse_rule(rule.text) == rule``. A rule
that allows covers ports 80 and 443 where it names none; one that denies covers every port, and
every path that begins like its own.
"""

import re
from dataclasses import dataclass

from nanoclaw.policy.egress.hosts import (
    WILDCARD,
    EgressRuleError,
    check_wildcard,
    is_address,
    is_private,
    never_reachable,
    normal_host,
    shown,
)
from nanoclaw.policy.egress.paths import decoded, is_below, prefix_problem

MAX_RULE = 2000
MAX_PORTS = 16
MAX_METHODS = 16
MAX_PORT = 65_535
DEFAULT_PORTS = (80, 443)
LOCAL = "local"
FORM = "[METHOD,...] host[:port,...][/path] [local]"

_METHODS = re.compile(r"[A-Z]{1,20}(?:,[A-Z]{1,20})*")
_PLACE = re.compile(r"(?P<host>\[[^\[\]/]*\]|[^\[\]:/]*)(?::(?P<ports>[0-9,]*))?(?P<path>/.*)?")


@dataclass(frozen=True, slots=True)
class Rule:
    """``host`` is normal; ``subdomains``: every name below it, and not the name itself."""

    host: str
    subdomains: bool = False
    ports: tuple[int, ...] = ()
    methods: tuple[str, ...] = ()
    path: str = ""
    local: bool = False

    @property
    def text(self) -> str:
        """The one spelling of this rule."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        ports = ":" + ",".join(map(str, self.ports)) if self.ports else ""
        words = [f"{WILDCARD if self.subdomains else ''}{host}{ports}{self.path}"]
        if self.methods:
            words.insert(0, ",".join(self.methods))
        if self.local:
            words.append(LOCAL)
        return " ".join(words)

    @property
    def is_whole(self) -> bool:
        """About all that goes to the host, so that nobody has to look into a connection."""
        return not self.methods and not self.path

    def covers_host(self, host: str) -> bool:
        if self.subdomains:
            return host.endswith("." + self.host) and not is_address(host)
        return host == self.host

    def covers_port(self, port: int, *, denies: bool = False) -> bool:
        if self.ports:
            return port in self.ports
        return denies or port in DEFAULT_PORTS

    def covers_request(self, method: str, path: str, *, denies: bool = False) -> bool:
        """``path`` is unambiguous and without its query."""
        if self.methods and method not in self.methods:
            return False
        if not self.path:
            return True
        if denies:
            return path.startswith(self.path) or decoded(path).startswith(decoded(self.path))
        return is_below(path, self.path)


def parse_rule(text: str) -> Rule:
    """Raises EgressRuleError."""
    if len(text) > MAX_RULE:
        raise EgressRuleError(f"{shown(text)} is too long for a rule; name a host: {FORM}")
    words = text.split(" ")
    if "" in words or any(not word.isprintable() for word in words):
        raise _unreadable(text, "one line, with single blanks")
    local = len(words) > 1 and words[-1] == LOCAL
    if local:
        words.pop()
    methods = _methods(text, words.pop(0)) if len(words) > 1 else ()
    if len(words) != 1:
        raise _unreadable(text, "methods, a host and the word local, in this order")
    place = _PLACE.fullmatch(words[0])
    if place is None or "://" in words[0] or "@" in words[0]:
        raise _unreadable(text, "a host without https:// and user names; addresses like [::1]:8080")
    subdomains, host = _host(text, place["host"])
    path = place["path"] or ""
    problem = prefix_problem(path) if path else None
    if problem is not None:
        raise _unreadable(text, f"its path cannot be compared: {problem}")
    ports = _ports(text, place["ports"])
    return Rule(host, subdomains, ports, methods, "" if path == "/" else path, local)


def check_allowing(rule: Rule) -> None:
    """Raises EgressRuleError for a rule that would never let anything out."""
    if never_reachable(rule.host):
        raise EgressRuleError(
            f"{rule.text}: agents never reach link-local, metadata and multicast addresses"
        )
    if is_private(rule.host) and not rule.local:
        raise EgressRuleError(
            f"{rule.host} is an address of your own network; if agents may reach it, "
            f"write: {rule.text} {LOCAL}"
        )


def check_denying(rule: Rule) -> None:
    if rule.local:
        raise EgressRuleError(
            f"{rule.text}: local only makes sense where something is allowed; leave it out"
        )


def _methods(text: str, word: str) -> tuple[str, ...]:
    if not _METHODS.fullmatch(word):
        raise _unreadable(text, f"{shown(word)} are no methods; write them like GET,HEAD")
    methods = tuple(sorted(set(word.split(","))))
    if "CONNECT" in methods:
        raise _unreadable(text, "CONNECT is not a method that a server sees; leave it out")
    if len(methods) > MAX_METHODS:
        raise _unreadable(text, f"at most {MAX_METHODS} methods")
    return methods


def _host(text: str, written: str) -> tuple[bool, str]:
    if "*" not in written:
        host = normal_host(written)
        if host == LOCAL:
            raise _unreadable(text, "a host of the name local cannot be told from the word")
        return False, host
    if not written.startswith(WILDCARD) or "*" in written[1:]:
        raise _unreadable(
            text, "* stands before a dot and a name, like *.example.com; for all hosts set the "
            "group's egress mode to open"
        )  # fmt: skip
    base = normal_host(written[len(WILDCARD) :])
    check_wildcard(base)
    return True, base


def _ports(text: str, written: str | None) -> tuple[int, ...]:
    if written is None:
        return ()
    parts = written.split(",")
    if not all(part and len(part) <= len(str(MAX_PORT)) for part in parts):
        raise _unreadable(text, "ports are written like :443 or :80,443")
    ports = tuple(sorted({int(part) for part in parts}))
    if not all(1 <= port <= MAX_PORT for port in ports) or len(ports) > MAX_PORTS:
        raise _unreadable(text, f"ports are numbers from 1 to {MAX_PORT}, at most {MAX_PORTS}")
    return ports


def _unreadable(text: str, why: str) -> EgressRuleError:
    return EgressRuleError(f"{shown(text)} is no rule ({why}); the form is {FORM}")

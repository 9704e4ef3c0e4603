"""The service of this machine, the host's processes, and the clock."""

import http.client
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from contract.clock import parse_text, to_text
from nanoclaw.doctor.base import Check, Finding, Severity
from nanoclaw.doctor.facts import CannotLookError, Facts

MANY_RESTARTS = 5
SKEW = timedelta(minutes=2)
SECONDS = 4.0


def _installed(facts: Facts) -> Finding | None:
    if facts.service.status.manager.installed:
        return None
    return Finding("no service is installed for this home",
                   "The host does not start with the machine, nor after a crash.",
                   facts.command("service install"))  # fmt: skip


def _current(facts: Facts) -> Finding | None:
    status = facts.service.status
    old = [note for note in status.notes if "is not what this program would write" in note]
    if not old:
        return None
    return Finding(f"{status.file} is of another version or was edited",
                   "The service may start another program than this one.",
                   facts.command("service install"))  # fmt: skip


def _runs(facts: Facts) -> Finding | None:
    status = facts.service.status
    if not status.manager.installed or status.running:
        return None
    shown = status.manager.last_exit or status.manager.text
    return Finding(f"{status.name} does not run: {shown}", "No message is answered.",
                   facts.command("service start"))  # fmt: skip


def _linger(facts: Facts) -> Finding | None:
    status = facts.service.status
    if not status.manager.installed or status.linger is not False:
        return None
    return Finding("the service ends when you log out", "No message is answered from then on.",
                   "sudo loginctl enable-linger $USER")  # fmt: skip


def _peers(facts: Facts) -> Finding | None:
    peers = facts.service.peers
    if not peers:
        return None
    names = ", ".join(f"{peer.name} ({peer.state})" for peer in peers[:5])
    bad = next((peer for peer in peers if peer.unhealthy), None)
    fix = f"systemctl --user disable --now {bad.name}" if bad else "nothing, if you want them"
    return Finding(f"other installations on this machine: {names}",
                   "Old ones that crash in a loop took all containers with them.",
                   fix, by_hand=bad is None)  # fmt: skip


def _children(facts: Facts) -> Finding | None:
    if facts.status is None:
        raise CannotLookError("no host is running")
    bad = [child for child in facts.status.children if child.state in ("backoff", "fatal")]
    if not bad:
        return None
    shown = "; ".join(f"{child.name} is {child.state}: {child.reason or child.last_exit}"
                      for child in bad[:5])  # fmt: skip
    return Finding(shown, "What it does stands still.", facts.command("service logs --errors"))


def _restarts(facts: Facts) -> Finding | None:
    if facts.status is None:
        raise CannotLookError("no host is running")
    bad = [child for child in facts.status.children if child.restarts >= MANY_RESTARTS]
    if not bad:
        return None
    return Finding(f"{bad[0].name} was started {bad[0].restarts} times again",
                   "Something makes it end.", facts.command("service logs --errors"))  # fmt: skip


def _future(facts: Facts) -> Finding | None:
    newest = parse_text(facts.ask_central("newest")[0][0])
    if newest is None or newest <= facts.now + SKEW:
        return None
    return Finding(f"the newest row of the audit is of {to_text(newest)}",
                   "The clock went backwards: tasks and leases wait until it is there again.",
                   "sudo timedatectl set-ntp true")  # fmt: skip


def _skew(facts: Facts) -> Finding | None:
    there = _their_time(facts.config.anthropic_base_url)
    skew = abs(there - facts.now)
    if skew <= SKEW:
        return None
    return Finding(
        f"the clock is {int(skew.total_seconds())} seconds off",
        "Certificates and signatures are refused.",
        "sudo timedatectl set-ntp true",
    )


def _their_time(address: str) -> datetime:
    parts = urlsplit(address)
    host = parts.hostname or ""
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(host, parts.port, timeout=SECONDS, context=context)
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=SECONDS)
    try:
        connection.request("HEAD", "/")
        text = connection.getresponse().getheader("Date") or ""
        return parsedate_to_datetime(text).astimezone(UTC)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise CannotLookError(f"{host} does not tell the time: {error}") from error
    finally:
        connection.close()


_W, _N = Severity.WARNING, Severity.NOTE
CHECKS = (
    Check("service-installed", "service", _N, "a service is installed", _installed),
    Check("service-current", "service", _W, "the service is of this version", _current),
    Check("service-runs", "service", Severity.ERROR, "the service runs", _runs),
    Check("service-linger", "service", _W, "the service outlives your login", _linger),
    Check("service-others", "service", _N, "this is the only installation", _peers),
    Check("host-children", "service", Severity.ERROR, "all processes run", _children),
    Check("host-restarts", "service", _W, "no process ends again and again", _restarts),
    Check("clock-back", "clock", _W, "the clock did not go backwards", _future),
    Check("clock-skew", "clock", _W, "the clock is right", _skew, needs_network=True),
)

"""Names and addresses of hosts in their one spelling, and which names would cover strangers.

Pure; used by ``rule`` for what people write and by ``decide`` for what agents ask for. A text that
two programs may read as two different hosts is no host: addresses in odd notations, letters that
the two standards of international names write differently, labels that no name has.
"""

import ipaddress
import re

from nanoclaw.errors import NanoclawError

MAX_HOST = 253
MAX_SHOWN = 100
MAX_LABELS = 127
WILDCARD = "*."

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"(?:\d+|0x[0-9a-f]*)")
_DEVIATING = frozenset("\u00df\u1e9e\u03c2\u200c\u200d")
"""Sharp s, final sigma and joiners: the older standard writes another name than the newer one."""
_REGISTRY_LABELS = frozenset(
    ("ac", "co", "com", "ed", "edu", "gob", "gov", "go", "gouv", "id", "me", "mil", "ne", "net",
     "nom", "or", "org", "sch")
)  # fmt: skip
"""Below a country's domain these are registries, like co.uk."""
_SHARED = frozenset(
    (
        "amazonaws.com", "appspot.com", "azureedge.net", "azurewebsites.net", "blogspot.com",
        "cloudapp.net", "cloudfront.net", "deno.dev", "duckdns.org", "firebaseapp.com", "fly.dev",
        "github.io", "gitlab.io", "glitch.me", "googleapis.com", "googleusercontent.com",
        "herokuapp.com", "loca.lt", "myshopify.com", "netlify.app", "ngrok.app", "ngrok.io",
        "ngrok-free.app", "on.aws", "onrender.com", "pages.dev", "r2.dev", "railway.app",
        "readthedocs.io", "repl.co", "replit.app", "run.app", "surge.sh", "trycloudflare.com",
        "vercel.app", "web.app", "windows.net", "workers.dev", "wordpress.com",
    )
)  # fmt: skip
"""Domains below which anybody gets a name in a minute; the best known ones."""

_OWN_ENDINGS = frozenset(("corp", "home", "internal", "lan", "local", "localhost", "localdomain"))


class EgressRuleError(NanoclawError):
    """A rule or a host that cannot be read; the text names it and the next step."""


def normal_host(text: str) -> str:
    """In lower case, international names as ``xn--``, addresses without brackets."""
    inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if ":" in inner:
        return _normal_ipv6(text, inner)
    if inner != text:
        raise EgressRuleError(f"{shown(text)}: brackets are for addresses with colons only")
    name = _ascii(text).lower()
    if not name or len(name) > MAX_HOST:
        raise EgressRuleError(
            f"{shown(text)} is no name of a host; a name has 1 to {MAX_HOST} characters"
        )
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return _normal_ipv4(text, name)
    for label in labels:
        if not _LABEL.fullmatch(label):
            raise EgressRuleError(
                f"{shown(text)} is no name of a host; write it like example.com, with letters, "
                "digits and dashes between single dots"
            )
    return name


def is_address(host: str) -> bool:
    """``host`` is normal."""
    return ":" in host or _NUMBER.fullmatch(host.rpartition(".")[2]) is not None


def is_private(host: str) -> bool:
    """A written address that only an owner's ``local`` opens. Names are checked when resolved."""
    return is_address(host) and not ipaddress.ip_address(host).is_global


def is_of_own_network(host: str) -> bool:
    """A private address, or a name that only the own network knows."""
    labels = host.split(".")
    return is_private(host) or (
        not is_address(host)
        and (len(labels) == 1 or labels[-1] in _OWN_ENDINGS or labels[-2:] == ["home", "arpa"])
    )


def never_reachable(host: str) -> bool:
    """Link-local (metadata of clouds), multicast, unspecified: not even with ``local``."""
    if not is_address(host):
        return False
    address = ipaddress.ip_address(host)
    return address.is_link_local or address.is_multicast or address.is_unspecified


def covering(host: str) -> list[str]:
    """The host itself and every name above it: under which of them a rule may be found."""
    if is_address(host):
        return [host]
    labels = host.split(".")
    return [".".join(labels[start:]) for start in range(min(len(labels), MAX_LABELS))]


def check_wildcard(base: str) -> None:
    """Raises EgressRuleError where ``*.base`` would let in names of strangers."""
    labels = base.split(".")
    if is_address(base):
        raise EgressRuleError(f"*.{base}: an address has no names below it; write {base}")
    registry = len(labels) == 2 and len(labels[1]) == 2 and labels[0] in _REGISTRY_LABELS
    if len(labels) < 2 or registry or base in _SHARED:
        raise EgressRuleError(
            f"*.{base} covers hosts of everybody who takes a name below {base}; "
            f"name the host, or a domain that belongs to one owner, like *.example.{base}"
        )


def shown(text: str) -> str:
    return repr(text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…")


def _ascii(text: str) -> str:
    if text.isascii():
        return text
    if _DEVIATING & set(text):
        raise EgressRuleError(
            f"{shown(text)} is written differently by different programs; write its xn-- form"
        )
    try:
        return text.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise EgressRuleError(
            f"{shown(text)} is no international name ({error}); write its xn-- form"
        ) from error


def _normal_ipv4(text: str, name: str) -> str:
    try:
        return str(ipaddress.IPv4Address(name))
    except ValueError as error:
        raise EgressRuleError(
            f"{shown(text)} is no address; write four numbers from 0 to 255, like 192.0.2.7"
        ) from error


def _normal_ipv6(text: str, inner: str) -> str:
    try:
        address = ipaddress.IPv6Address(inner)
    except ValueError as error:
        raise EgressRuleError(
            f"{shown(text)} is no address; write it like [2001:db8::7]"
        ) from error
    if address.scope_id is not None:
        raise EgressRuleError(f"{shown(text)}: an address has no zone here; leave out the % part")
    if address.ipv4_mapped is not None:
        raise EgressRuleError(f"{shown(text)} hides an address; write {address.ipv4_mapped}")
    return str(address)

"""What a credential gateway's answers mean, and what of them an agent gets (H-191).

Pure. Used by ``client`` here for the start of an agent and by ``vault.gateway`` for its traffic.
Whatever has the wrong form makes the whole answer unusable: half a configuration may send a request
past the gateway. Variables that would override ours are withheld and named; the proxy's address
stays on the host, because only the vault speaks to it.
"""

import re
from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

MAX_PAIRS = 100
MAX_VALUE = 8 * 1024
MAX_CA_CHARACTERS = 256 * 1024
MAX_CERTIFICATES = 200
MAX_URL = 2048

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
_PROXY_NAMES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
_PROXY_PORTS = {"http": 80, "https": 443}
_OURS = re.compile(
    r"(?:PATH|HOME|USER|LOGNAME|SHELL|IFS|ENV|BASH_.*|PS4|PROMPT_COMMAND|TZ|TMPDIR|HOSTNAME"
    r"|LD_.*|DYLD_.*|GLIBC_.*|MALLOC_.*|PYTHON.*|NANOCLAW.*|.*_PROXY|NODE_(?:OPTIONS|PATH|EXTRA.*)"
    r"|NPM_CONFIG_.*|PIP_.*|UV_.*|GIT_.*|SSH_.*|PERL5.*|RUBY.*|JAVA_TOOL_OPTIONS"
    r"|.*_CA_?(?:BUNDLE|CERT|CERTS|FILE|INFO|CERTIFICATE|CERTIFICATES)|SSL_CERT.*|DENO_CERT"
    r"|.*CAINFO|ANTHROPIC_.*|CLAUDE_.*)",
    re.IGNORECASE | re.DOTALL,
)
"""Search paths, what is loaded into programs, the way out, trust, and the model's route."""
_CERTIFICATE = re.compile(
    r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]{1,65536}?-----END CERTIFICATE-----"
)
_PRIVATE = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----")
_OF_THE_HOST = frozenset({"host.docker.internal", "gateway.docker.internal"})
"""How a container would call the machine that the vault itself runs on."""
SUBSCRIPTION_VARIABLE = "CLAUDE_CODE_OAUTH_TOKEN"


class BadGatewayAnswer(Exception):  # noqa: N818
    """``args[0]`` says what is wrong with it, without repeating values."""


@dataclass(frozen=True, slots=True)
class ProxyAddress:
    """``authorization`` is the value of ``Proxy-Authorization``, or empty."""

    host: str
    port: int
    tls: bool = False
    authorization: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """``environment`` is for the container, ``withheld`` are names that are not. ``ca`` is PEM
    text of certificates and nothing else, or empty. ``subscription``: the model's credential that
    the gateway holds is the token of a subscription."""

    environment: tuple[tuple[str, str], ...] = ()
    withheld: tuple[str, ...] = ()
    proxy: ProxyAddress | None = None
    ca: str = ""
    subscription: bool = False


def parse_container_config(value: object, onecli_url: str) -> GatewayConfig:
    """The answer to ``GET /api/container-config``. Raises BadGatewayAnswer."""
    if not isinstance(value, dict):
        raise BadGatewayAnswer("the configuration is no object")
    pairs = _pairs(value.get("env"))
    proxy = next((pairs[name] for name in _PROXY_NAMES if pairs.get(name)), None)
    if proxy is None:
        raise BadGatewayAnswer("the configuration names no proxy (HTTPS_PROXY)")
    withheld = tuple(name for name in pairs if _OURS.fullmatch(name))
    given = tuple((name, text) for name, text in pairs.items() if name not in withheld)
    return GatewayConfig(
        environment=given,
        withheld=withheld,
        proxy=parse_proxy(proxy, onecli_url),
        ca=_certificates(value.get("caCertificate")),
        subscription=SUBSCRIPTION_VARIABLE in pairs and "ANTHROPIC_API_KEY" not in pairs,
    )


def parse_proxy(text: str, onecli_url: str) -> ProxyAddress:
    """``http://user:password@host:port``. Raises BadGatewayAnswer."""
    parts = _address(text, "the proxy's address")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise BadGatewayAnswer("the proxy's address has a path")
    authorization = ""
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + b64encode(login.encode()).decode()
    port = parts.port or _PROXY_PORTS[parts.scheme]
    return ProxyAddress(_own(parts, onecli_url), port, parts.scheme == "https", authorization)


def parse_gateway_url(value: object, onecli_url: str) -> str:
    """The answer to ``GET /api/gateway-url``. Raises BadGatewayAnswer."""
    text = value.get("url") if isinstance(value, dict) else None
    if not isinstance(text, str):
        raise BadGatewayAnswer("the answer names no gateway")
    parts = _address(text, "the gateway's address")
    if parts.username is not None or parts.query or parts.fragment:
        raise BadGatewayAnswer("the gateway's address has more than host, port and path")
    host = _own(parts, onecli_url)
    name = f"[{host}]" if ":" in host else host
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{name}{port}{parts.path.rstrip('/')}"


def _pairs(env: object) -> dict[str, str]:
    if not isinstance(env, dict):
        raise BadGatewayAnswer("env is no object")
    if len(env) > MAX_PAIRS:
        raise BadGatewayAnswer(f"env has more than {MAX_PAIRS} variables")
    for name, text in env.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise BadGatewayAnswer("env has a name that is none")
        if not isinstance(text, str) or len(text) > MAX_VALUE or not _is_plain(text):
            raise BadGatewayAnswer(f"env has no usable value for {name}")
    return dict(env)


def _certificates(value: object) -> str:
    if value is None or value == "":
        return ""
    if not isinstance(value, str) or len(value) > MAX_CA_CHARACTERS:
        raise BadGatewayAnswer("caCertificate is no text, or too long")
    if _PRIVATE.search(value):
        raise BadGatewayAnswer("caCertificate holds a private key")
    found = _CERTIFICATE.findall(value)
    if not 0 < len(found) <= MAX_CERTIFICATES:
        raise BadGatewayAnswer("caCertificate holds no certificate")
    return "".join(f"{item}\n" for item in found)


def _address(text: str, what: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise BadGatewayAnswer(f"{what} is none") from None
    usable = text.isascii() and _is_plain(text) and " " not in text and len(text) <= MAX_URL
    if not usable or parts.scheme not in _PROXY_PORTS or not parts.hostname or port == 0:
        raise BadGatewayAnswer(f"{what} is none")
    return parts


def _own(parts: SplitResult, onecli_url: str) -> str:
    """Docker's names for its host mean the machine that OneCLI itself was reached on."""
    host = parts.hostname or ""
    return (urlsplit(onecli_url).hostname or host) if host in _OF_THE_HOST else host


def _is_plain(text: str) -> bool:
    return all(character == "\t" or ord(character) >= 0x20 for character in text) and (
        "\x7f" not in text
    )

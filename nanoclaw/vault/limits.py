"""Every bound of the vault in one place: sizes, numbers, times.

Read by the modules beside it. A number that an agent can reach must cost it an error and cost
nobody else anything; times are in seconds and measured on the monotonic clock.
"""

from dataclasses import dataclass

MAX_CONNECTIONS_PER_DOOR = 64
MAX_CONNECTIONS = 512
SPARE_CONNECTIONS_PER_DOOR = 8
"""From here on the connections that have been idle longest make room for new ones."""
SPARED_IDLE_SECONDS = 2.0
MAX_EGRESS_PER_DOOR = 40
"""Proxied connections at one time; the other places stay for the model's route."""
MAX_EGRESS = 320
MAX_RESOLVING_PER_DOOR = 4
RESOLVER_THREADS = 16
MAX_ADDRESSES = 8
"""Of one name; further ones are checked and not tried."""
MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 40 * 1024 * 1024
"""The API itself takes 32 MB."""
MAX_HELD_BYTES = 160 * 1024 * 1024
"""Request bodies in memory at one time, over all doors; further ones wait unread."""
MAX_HELD_BYTES_PER_GROUP = 40 * 1024 * 1024
"""Of these, for all sessions of one agent: one that is slow on purpose holds up itself alone."""
CHUNK_BYTES = 64 * 1024

HELD_WAIT_SECONDS = 60.0
LINGER_BYTES = 1024 * 1024
"""What is still read after a refusal, so that the refusal is not lost with the connection."""

CONNECT_SECONDS = 20.0
SEND_SECONDS = 120.0
SILENCE_SECONDS = 600.0
"""Upstream may think this long between two bytes; streams carry a sign of life far more often."""
EXCHANGE_SECONDS = 3600.0
POOL_SIZE = 16
POOL_IDLE_SECONDS = 20.0
"""Shorter than any server waits, so that a kept connection is rarely dead when it is used."""

INTERCEPT_HANDSHAKE_SECONDS = 15.0
INTERCEPT_BODY_BYTES = 1024 * 1024 * 1024
"""Of one request inside TLS; it is passed on in pieces and never held."""

RESOLVE_SECONDS = 10.0
ADDRESS_SECONDS = 8.0
"""For one address of several; all together have CONNECT_SECONDS."""
HELLO_SECONDS = 15.0
MAX_HELLO_BYTES = 32 * 1024
TUNNEL_IDLE_SECONDS = 300.0
"""Without a byte in either direction."""
TUNNEL_SECONDS = 4 * 3600.0
TUNNEL_LOOK_SECONDS = 1.0
"""Between two looks at a tunnel's silence."""
MAX_EGRESS_BODY_BYTES = 256 * 1024 * 1024
"""Of a plain HTTP request; it is passed on in pieces and never held."""
EGRESS_SILENCE_SECONDS = 120.0
EGRESS_BODY_SECONDS = 1800.0

METER_LINE_BYTES = 1024 * 1024
METER_BODY_BYTES = 8 * 1024 * 1024
"""Of an answer in one piece; a longer one is charged as reserved."""

RECONCILE_SECONDS = 15.0
STOP_SECONDS = 3.0
"""How long running answers may go on after a stop was asked for."""
CONTROL_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a client is waited for."""

    idle: float = 120.0
    """A kept connection without a request."""
    head: float = 15.0
    """From the first byte of a request to the end of its headers."""
    body: float = 120.0
    """40 MB through a loopback socket take a moment; slower is an attack or a defect."""
    write: float = 300.0
    """A client that takes nothing; until then upstream is held back with it."""
    linger: float = 2.0
    """After a refusal, and for the last bytes."""

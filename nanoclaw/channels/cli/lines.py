"""The JSON lines of ``run/cli.sock``, both directions (H-267, C-76).

Shared by the terminal channel and ``nanoclaw chat``. Reading is bounded and forgiving: what is no
line of this format gives None. Old programs send ``{"text": …}`` and read ``text``; everything
else is an extra field for those that know it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from contract.errors import BadContent
from contract.jsontext import dump, parse_object

MAX_LINE_BYTES = 1024 * 1024
MAX_DEPTH = 8
_CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LINE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


@dataclass(frozen=True, slots=True)
class Place:
    """A chat named by an operator (H-269)."""

    channel_type: str
    platform_id: str
    thread_id: str | None = None


@dataclass(frozen=True, slots=True)
class Greeting:
    """First line of a client that has a name of its own, so that it can come back.

    ``listens``: it is a chat window and shows what comes unasked. ``confirms``: it says ``Got``
    for every reply. ``got`` repeats what it had confirmed before its connection was lost.
    """

    client: str
    listens: bool = False
    confirms: bool = False
    got: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Got:
    """The client has shown the reply with this id, or stored it."""

    reply_id: str


@dataclass(frozen=True, slots=True)
class Say:
    """A message. With ``id`` a repeated line is one message; ``ack`` asks for an ``Ack``.

    A simple client may introduce itself in the same line.
    """

    text: str
    id: str | None = None
    ack: bool = False
    to: Place | None = None
    reply_to: Place | None = None
    sender: str | None = None
    sender_id: str | None = None
    greeting: Greeting | None = None


@dataclass(frozen=True, slots=True)
class Leave:
    """The client ends and will not come back for what is still under way."""


ClientLine = Greeting | Got | Say | Leave


@dataclass(frozen=True, slots=True)
class FileRef:
    """A file of a reply, by its path on this machine (C-77)."""

    name: str
    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Reply:
    """Something to show. ``notice`` marks the channel's own words; they have no id."""

    text: str
    id: str | None = None
    reply_to: str | None = None
    done: bool = False
    """Nothing more comes for the message ``reply_to``."""
    notice: bool = False
    files: tuple[FileRef, ...] = ()
    at: str | None = None


@dataclass(frozen=True, slots=True)
class Ack:
    """The message is committed; ``outcome`` is a word of ``events.Outcome``."""

    id: str
    outcome: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """The host will not send these replies again; the client may forget them."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Welcome:
    """Answer to a greeting. ``says_done``: the last reply to a message is marked."""

    says_done: bool


HostLine = Reply | Ack | Settled | Welcome


def parse_client_line(raw: bytes) -> ClientLine | None:
    """None for anything that is no line of a client."""
    value = _object(raw)
    if value is None:
        return None
    got = value.get("got")
    if "text" in value:
        return _read_say(value)
    if "client" in value:
        return _read_greeting(value, listens=value.get("listen") is True)
    if isinstance(got, str):
        return Got(got)
    return Leave() if value.get("leave") is True else None


def _read_greeting(value: Mapping[str, object], *, listens: bool) -> Greeting | None:
    client = value.get("client")
    if not isinstance(client, str) or _CLIENT_ID.fullmatch(client) is None:
        return None
    return Greeting(client, listens, value.get("confirm") is True, _texts(value.get("got")))


def _read_say(value: Mapping[str, object]) -> Say | None:
    text = _text(value.get("text"))
    if not text:
        return None
    return Say(
        text,
        id=_identifier(value.get("id")),
        ack=value.get("ack") is True,
        to=_place(value.get("to")),
        reply_to=_place(value.get("reply_to")),
        sender=_text(value.get("sender")),
        sender_id=_text(value.get("senderId")),
        greeting=_read_greeting(value, listens=value.get("listen") is not False),
    )


def is_line_id(text: str) -> bool:
    """Whether the id of a message can be an event key."""
    return _LINE_ID.fullmatch(text) is not None


def parse_host_line(raw: bytes) -> HostLine | None:
    """None for lines of a newer host, and for garbage."""
    value = _object(raw)
    if value is None:
        return None
    text, ack, settled = value.get("text"), value.get("ack"), value.get("settled")
    if isinstance(text, str):
        return _read_reply(text, value)
    if isinstance(ack, str):
        return Ack(ack, _text(value.get("outcome")) or "", _text(value.get("reason")))
    if isinstance(settled, list):
        return Settled(_texts(settled))
    if "welcome" in value:
        return Welcome(value.get("done") is True)
    return None


def render_client_line(line: ClientLine) -> bytes:
    match line:
        case Greeting():
            fields: dict[str, object] = {
                "client": line.client,
                "listen": line.listens,
                "confirm": line.confirms,
                "got": list(line.got),
            }
        case Got():
            fields = {"got": line.reply_id}
        case Say():
            fields = _given(
                text=line.text,
                id=line.id,
                ack=line.ack or None,
                to=_render_place(line.to),
                reply_to=_render_place(line.reply_to),
                sender=line.sender,
                senderId=line.sender_id,
            )
        case Leave():
            fields = {"leave": True}
        case _:
            assert_never(line)
    return _line(fields)


def render_host_line(line: HostLine) -> bytes:
    match line:
        case Reply():
            files = [{"name": f.name, "path": f.path, "size": f.size} for f in line.files]
            fields = _given(
                text=line.text,
                id=line.id,
                reply_to=line.reply_to,
                done=line.done or None,
                notice=line.notice or None,
                files=files or None,
                at=line.at,
            )
        case Ack():
            fields = _given(ack=line.id, outcome=line.outcome, reason=line.reason)
        case Settled():
            fields = {"settled": list(line.ids)}
        case Welcome():
            fields = {"welcome": "nanoclaw", "done": line.says_done}
        case _:
            assert_never(line)
    return _line(fields)


def _line(fields: Mapping[str, object]) -> bytes:
    return dump(fields).encode() + b"\n"


def _given(**fields: object) -> dict[str, object]:
    return {key: value for key, value in fields.items() if value is not None}


def _object(raw: bytes) -> dict[str, object] | None:
    try:
        text = raw.decode()
        return parse_object(text, max_bytes=MAX_LINE_BYTES, max_depth=MAX_DEPTH)
    except (UnicodeDecodeError, BadContent):
        return None


def _read_reply(text: str, value: Mapping[str, object]) -> Reply:
    return Reply(
        text,
        id=_text(value.get("id")),
        reply_to=_text(value.get("reply_to")),
        done=value.get("done") is True,
        notice=value.get("notice") is True,
        files=_files(value.get("files")),
        at=_text(value.get("at")),
    )


def _files(value: object) -> tuple[FileRef, ...]:
    files: list[FileRef] = []
    for item in value if isinstance(value, list) else ():
        if isinstance(item, dict):
            name, path, size = item.get("name"), item.get("path"), item.get("size")
            if isinstance(name, str) and isinstance(path, str) and isinstance(size, int):
                files.append(FileRef(name, path, size))
    return tuple(files)


def _place(value: object) -> Place | None:
    """An address that is not complete counts as absent (H-267)."""
    if not isinstance(value, dict):
        return None
    channel, platform = _text(value.get("channelType")), _text(value.get("platformId"))
    if not channel or not platform:
        return None
    return Place(channel, platform, _text(value.get("threadId")))


def _render_place(place: Place | None) -> dict[str, object] | None:
    if place is None:
        return None
    return _given(
        channelType=place.channel_type, platformId=place.platform_id, threadId=place.thread_id
    )


def _identifier(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _text(value)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _texts(value: object) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()

"""``ncl search``: words in all conversations and tasks, newest first.

The host's own user and agents of global scope see everything, an agent its own group's
conversations. The index is a copy that is seconds behind; what is found in a session that has been
deleted meanwhile is left out. Agents' questions are answered by the delivery process, which has
little time for them.
"""

from contextlib import closing

from contract.clock import parse_text, to_text
from nanoclaw.admin.arguments import Arguments
from nanoclaw.admin.context import CommandContext
from nanoclaw.admin.problems import CommandError, InvalidArgsError
from nanoclaw.admin.registry import Access, ArgumentSpec, Operation
from nanoclaw.admin.search_words import UnsearchableError, Words, excerpt, parse_words
from nanoclaw.admin.shown import LIMIT, limit_of
from nanoclaw.db import search_feed, search_query
from nanoclaw.db.search_index import open_for_search
from nanoclaw.db.search_query import HURRIED, Hit, Patience, SearchQuery
from nanoclaw.errors import StateError

WIDTH = 160
KINDS = ("in", "out", "task")

_TEXT = ArgumentSpec(
    "text", 'all of them must be in a message; "in quotation marks" with blanks', required=True,
    positional=True, all_words=True, missing="give the words to search for",
)  # fmt: skip


def _search(context: CommandContext, arguments: Arguments) -> object:
    words = _parsed(arguments.text(_TEXT.name))
    query = SearchQuery(
        match=words.match,
        short=words.short,
        agent_group_id=context.only_group or arguments.optional("agent_group_id"),
        session_id=arguments.optional("session"),
        kind=arguments.optional("kind"),
        since=_since(arguments.optional("since")),
        limit=limit_of(arguments),
        patience=Patience() if context.agent is None else HURRIED,
    )
    try:
        with closing(open_for_search(context.paths.data / "search.db")) as conn:
            hits = search_query.search(conn, query)
            behind = search_query.backlog(conn, context.now)
    except StateError as error:
        raise CommandError(str(error)) from error
    sessions = list({hit.session_id for hit in hits.found})
    there = search_feed.existing_sessions(context.conn, sessions)
    found = [hit for hit in hits.found if hit.session_id in there]
    return {
        "results": [_row(hit, words) for hit in found],
        "complete": hits.complete,
        "sessions_to_read": behind,
    }


def _parsed(typed: str) -> Words:
    try:
        return parse_words(typed)
    except UnsearchableError as error:
        raise InvalidArgsError(str(error)) from error


def _since(text: str | None) -> str | None:
    if text is None:
        return None
    moment = parse_text(text)
    if moment is None:
        raise InvalidArgsError(f"--since {text[:100]!r} is no time; write 2026-01-31")
    return to_text(moment)


def _row(hit: Hit, words: Words) -> dict[str, object]:
    return {
        "at": hit.at,
        "kind": hit.kind,
        "agent_group_id": hit.agent_group_id,
        "session_id": hit.session_id,
        "channel": hit.channel,
        "sender": hit.sender,
        "message_id": hit.message_id,
        "text": excerpt(hit.text, words.plain, WIDTH),
    }


SEARCH = Operation(
    "search", Access.OPEN, "find words in all conversations and tasks", _search,
    (
        _TEXT,
        ArgumentSpec("agent_group_id", "only in this agent group's"),
        ArgumentSpec("session", "only in this conversation"),
        ArgumentSpec("kind", "what people said, what agents said, or tasks", choices=KINDS),
        ArgumentSpec("since", "only from this day or time on, in UTC"),
        LIMIT,
    ),
    examples=("ncl search dentist tuesday", 'ncl search "flight to"', "ncl search 会议"),
)  # fmt: skip

"""A million messages in the search index: how fast they get in, and how fast they are found.

The texts are made of twenty thousand words, some of them very common, with a Chinese one now and
then; each question is asked as ``ncl search`` does, with a connection of its own.
"""

import random
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.figures import Figure, single, spread
from nanoclaw.admin.search_words import parse_words
from nanoclaw.db.search_index import Entry, SearchIndex, open_for_search
from nanoclaw.db.search_query import SearchQuery, search

GROUP = 500
"""Entries of one step, as the indexer takes them."""
WORDS_PER_MESSAGE = 14
RARE_EVERY = 50_000
LETTERS = "abcdefghijklmnopqrstuvwxyz"
BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
ASKED = 20


def measure_index(folder: Path, count: int, seed: int) -> list[Figure]:
    folder.mkdir()
    path = folder / "search.db"
    words = _vocabulary(random.Random(seed))
    started = time.monotonic()
    with closing(SearchIndex.open(path)) as index:
        for entries in _messages(random.Random(seed), words, count):
            with index.writing():
                index.put(entries)
    elapsed = time.monotonic() - started
    of = f"of {count:,} messages"
    figures = [
        single("search index: messages taken in", "messages/s", count / elapsed,
               note="while the host runs: one step, one pause"),
        single(f"search index {of}, on disk", "MB", path.stat().st_size / 1e6,
               note=f"{path.stat().st_size / count:.0f} bytes a message"),
    ]  # fmt: skip
    questions = {
        "a common word": words[0],
        "two words": f"{words[40]} {words[90]}",
        "a word that is rare": "sentinel",
        "a word that is not there": "qqqqqq",
        "a two-character Chinese word": "会议",
        "a two-character word that is not there": "議員",
    }
    for name, typed in questions.items():
        samples = [_milliseconds(path, typed, None) for _ in range(ASKED)]
        figures.append(spread(f"search {of}: {name}", "ms", samples))
    samples = [_milliseconds(path, words[0], "ag-3") for _ in range(ASKED)]
    figures.append(spread(f"search {of}: a common word, one agent group of 20", "ms", samples))
    return figures


def _milliseconds(path: Path, typed: str, group: str | None) -> float:
    words = parse_words(typed)
    started = time.monotonic()
    with closing(open_for_search(path)) as conn:
        search(conn, SearchQuery(words.match, words.short, agent_group_id=group))
    return (time.monotonic() - started) * 1000


def _vocabulary(chance: random.Random) -> list[str]:
    return ["".join(chance.choices(LETTERS, k=chance.randint(3, 9))) for _ in range(20_000)]


def _messages(chance: random.Random, words: list[str], count: int) -> Iterator[list[Entry]]:
    for start in range(0, count, GROUP):
        yield [
            _message(chance, words, number) for number in range(start, min(count, start + GROUP))
        ]


def _message(chance: random.Random, words: list[str], number: int) -> Entry:
    said = [words[int(chance.paretovariate(0.6)) % len(words)] for _ in range(WORDS_PER_MESSAGE)]
    if number % RARE_EVERY == RARE_EVERY // 2:
        said.append("sentinel 明天开会议")
    return Entry(
        session_id=f"sess-{chance.randrange(5000)}",
        kind="in",
        message_id=f"m-{number}",
        agent_group_id=f"ag-{chance.randrange(20)}",
        channel="telegram",
        sender="Ann",
        at=BEGIN + timedelta(seconds=30 * number),
        text=" ".join(said),
    )

"""A pattern as a program of small steps, each with the steps that may follow it.

Pure; made from a tree, run by ``search``. Counted repeats are written out, so the number of steps
is what a pattern costs per character at worst, and it is limited.
"""

from dataclasses import dataclass

from nanoclaw.routing.pattern.parse import BadPattern
from nanoclaw.routing.pattern.tree import (
    Ahead,
    At,
    Choice,
    Node,
    OneOf,
    Place,
    Repeat,
    Sequence,
)

MAX_STEPS = 2000
MAX_PUT = 20_000
"""Of nodes that are written out: empty ones make no steps, however often they are repeated."""


@dataclass(frozen=True, slots=True)
class Found:
    """The end: everything has matched."""


@dataclass(frozen=True, slots=True)
class Read:
    """Takes one character."""

    allowed: OneOf
    after: int


@dataclass(frozen=True, slots=True)
class Fork:
    """Goes on at each of these, taking nothing."""

    to: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Check:
    place: Place
    after: int


@dataclass(frozen=True, slots=True)
class Look:
    """Goes on if a match does, or does not, begin here with the step ``begin``."""

    begin: int
    negated: bool
    after: int


Step = Found | Read | Fork | Check | Look


@dataclass(frozen=True, slots=True)
class Program:
    steps: tuple[Step, ...]
    begin: int
    looks_ahead: bool


def compile_tree(node: Node) -> Program:
    """Raises BadPattern when the program would be too long."""
    builder = _Builder()
    begin = builder.put(node, builder.add(Found()))
    steps = tuple(builder.steps)
    return Program(steps, begin, any(isinstance(step, Look) for step in steps))


class _Builder:
    """Builds from the end: every step knows what follows it, except a loop's fork."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._put = 0

    def add(self, step: Step) -> int:
        if len(self.steps) >= MAX_STEPS:
            raise BadPattern("the pattern is too large; repeat less")
        self.steps.append(step)
        return len(self.steps) - 1

    def put(self, node: Node, after: int) -> int:
        """The step where ``node`` begins when it goes on at ``after``."""
        self._put += 1
        if self._put > MAX_PUT:
            raise BadPattern("the pattern is too large; repeat less")
        match node:
            case OneOf():
                return self.add(Read(node, after))
            case At(place):
                return self.add(Check(place, after))
            case Ahead(inner, negated):
                begin = self.put(inner, self.add(Found()))
                return self.add(Look(begin, negated, after))
            case Sequence(nodes):
                for item in reversed(nodes):
                    after = self.put(item, after)
                return after
            case Choice(nodes):
                return self.add(Fork(tuple(self.put(item, after) for item in nodes)))
            case Repeat():
                return self._repeat(node, after)

    def _repeat(self, node: Repeat, after: int) -> int:
        if node.high is None:
            loop = self.add(Fork(()))
            self.steps[loop] = Fork((self.put(node.node, loop), after))
            begin = loop
        else:
            begin = after
            for _ in range(node.high - node.low):
                begin = self.add(Fork((self.put(node.node, begin), after)))
        for _ in range(node.low):
            begin = self.put(node.node, begin)
        return begin

"""What was typed after ``ncl`` in the container (R-180); the words themselves are the contract's.

Also used for the text that a model gives the ``ncl`` tool. Pure. What only the host's own user can
ask for is no option here, but a flag that the host then refuses by name.
"""

from collections.abc import Sequence
from dataclasses import replace

from contract.ncl_words import Typed
from contract.ncl_words import parse_words as parse_any_words

USAGE = """usage: ncl RESOURCE VERB [ID] [--key VALUE | --flag]... [--json | --csv | --ids] [--wide]

Asks the host, within what this agent may see and do. `ncl help` lists the resources,
`ncl RESOURCE help` its verbs and fields. Changes may need an administrator's approval.
"""


def parse_words(words: Sequence[str]) -> Typed:
    typed = parse_any_words(words)
    if typed.problem or not (typed.home or typed.offline):
        return typed
    option = "--home" if typed.home else "--offline"
    return replace(typed, problem=f"{option} is for the host's own command line")

"""What goes wrong with a server, in words that a model and a person understand.

Raised by ``connection`` and ``server``; shown by ``tools``. ``in_words`` turns whatever the mcp
package and the libraries below it raise into one bounded line without a trace or a secret.
"""

from collections.abc import Iterator

from runner.errors import RunnerError
from runner.mcp_client.listing import clean, cut

MAX_REASON = 400


class McpError(RunnerError):
    """McpError
    ├── UnavailableError   the server cannot be reached at all
    ├── LostError          the connection broke while a call was under way
    ├── SlowError          a call did not end within its limit
    └── RefusedError       the server answered with an error, or with nonsense
    """


class UnavailableError(McpError): ...


class LostError(McpError):
    """``delivered`` is False when the server certainly never saw the call."""

    def __init__(self, reason: str, delivered: bool = True) -> None:
        super().__init__(reason, delivered)
        self.reason = reason
        self.delivered = delivered

    def __str__(self) -> str:
        return self.reason


class SlowError(McpError): ...


class RefusedError(McpError): ...


def in_words(error: BaseException) -> str:
    """One line; of a group of errors the first that says something."""
    for leaf in leaves(error):
        text = " ".join(clean(_described(leaf)).split())
        if text:
            return cut(text, MAX_REASON)
    return type(error).__name__


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors in a group of groups; an ordinary error is its own."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error


def _described(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError) and error.filename:
        return f"{error.filename} was not found"
    if isinstance(error, PermissionError) and error.filename:
        return f"{error.filename} may not be started"
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if type(error).__name__ == "ValidationError":
        return "its answer does not follow the protocol"
    return str(error) or type(error).__name__

"""One real message to the agent through the running host, and its answer (S-98 to S-101).

The chat client is started as a person would start it. What comes back is sorted by ``classify``: a
wrong key looks like an answer at first sight and is told apart from a host that does not run.
"""

import re
import shlex
import subprocess
import tempfile
import time
from collections.abc import Mapping
from enum import StrEnum
from typing import IO

from nanoclaw.config import HostConfig
from setup.base import Finding, Question, Status, StepContext, StepResult
from setup.central import answers as host_answers

MESSAGE = "ping"
REPLY_SECONDS = 120
LIMIT_SECONDS = 150.0
POLL_SECONDS = 0.2
STOP_SECONDS = 5.0
MAX_OUTPUT = 64 * 1024
NO_HOST = 2
AUTH_WORDS = re.compile(
    r"invalid bearer token|authentication[ _]error|failed to authenticate|please run /login"
    r"|not logged in|invalid api key|invalid x-api-key",
    re.IGNORECASE,
)


class Outcome(StrEnum):
    """What became of the message (S-98)."""

    OK = "ok"
    AUTH_ERROR = "auth_error"
    SOCKET_ERROR = "socket_error"
    NO_REPLY = "no_reply"


def classify(code: int | None, stdout: str, stderr: str) -> Outcome:
    """``code`` None: it took too long and was ended."""
    if AUTH_WORDS.search(stdout) or AUTH_WORDS.search(stderr):
        return Outcome.AUTH_ERROR
    if code == NO_HOST:
        return Outcome.SOCKET_ERROR
    if code == 0 and stdout.strip():
        return Outcome.OK
    return Outcome.NO_REPLY


class TestMessageStep:
    __test__ = False  # its name is no word to pytest
    name = "test-message"
    title = "Send the agent a message and wait for its answer"
    seconds = LIMIT_SECONDS + 20
    needs = ("first-agent",)
    questions: tuple[Question, ...] = ()

    def inspect(self, config: HostConfig, answers: Mapping[str, str]) -> Finding:
        return Finding(False, "no message was sent yet", f"send the agent the word {MESSAGE!r}")

    def apply(self, context: StepContext) -> StepResult:
        context.say("waiting for the agent; the first answer may take a minute")
        try:
            code, stdout, stderr = send(context)
        except OSError as error:
            context.raw(f"{error}\n")
            return result_of(Outcome.SOCKET_ERROR, context.config)
        context.raw(f"exit code {code}\n{stdout}\n{stderr}\n")
        return result_of(classify(code, stdout, stderr), context.config)

    def verify(self, context: StepContext) -> StepResult:
        path = context.config.paths.socket("cli")
        if host_answers(path):
            return StepResult(Status.SUCCESS, "the host answers at the terminal's socket")
        return result_of(Outcome.SOCKET_ERROR, context.config)


def result_of(outcome: Outcome, config: HostConfig) -> StepResult:
    """What it means and the one next step (S-101)."""
    home = shlex.quote(str(config.home))
    fields = {"outcome": outcome.value}
    match outcome:
        case Outcome.OK:
            return StepResult(Status.SUCCESS, "the agent has answered", fields)
        case Outcome.AUTH_ERROR:
            text = "the agent runs, but the model refused the key"
            step = f"nanoclaw setup --redo credentials --home {home}"
        case Outcome.SOCKET_ERROR:
            text = "no host is running, so nobody could answer"
            step = f"nanoclaw run --home {home}"
        case _:
            text = f"no answer came; {config.paths.logs / 'nanoclaw.log'} may say why"
            step = f"nanoclaw status --home {home}"
    return StepResult(Status.FAILED, text, fields, step)


def send(context: StepContext) -> tuple[int | None, str, str]:
    """Runs the chat client; exit code (None: ended by us), output and errors. Raises OSError."""
    words = [*context.program, "chat", "-m", MESSAGE, "--timeout", str(REPLY_SECONDS)]
    words += ["--home", str(context.config.home)]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        try:
            code = _wait(child, context)
        finally:
            _end(child)
        return code, _text(out), _text(err)


def _wait(child: "subprocess.Popen[bytes]", context: StepContext) -> int | None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline and not context.is_cancelled():
        try:
            return child.wait(POLL_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    return None


def _end(child: "subprocess.Popen[bytes]") -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(MAX_OUTPUT).decode(errors="replace")

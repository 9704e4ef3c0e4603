"""The wizard on a pseudo-terminal: pexpect types, pyte keeps the screen as a person sees it."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pexpect  # type: ignore[import-untyped]
import pyte
from helpers.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]


def program_environment(home: Path, **more: str) -> dict[str, str]:
    """Nothing of the developer's own environment but the PATH."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
        "NANOCLAW_HOME": str(home),
        "TERM": "xterm",
        "LANG": "C.UTF-8",
        **more,
    }


class _AnsweringScreen(pyte.Screen):
    """Answers where the cursor is, as terminals do."""

    child: "pexpect.spawn"

    def write_process_input(self, data: str) -> None:
        self.child.send(data)


class WizardOnScreen:
    def __init__(
        self, words: Sequence[str], environment: dict[str, str], *, columns: int = 80
    ) -> None:
        self.transcript = ""
        self.child = pexpect.spawn(
            sys.executable, ["-m", *words], env=environment, dimensions=(40, columns),
            encoding="utf-8", timeout=30, codec_errors="replace",
        )  # fmt: skip
        self._screen = _AnsweringScreen(columns, 40)
        self._screen.child = self.child
        self._stream = pyte.Stream(self._screen)

    @property
    def text(self) -> str:
        """What stands on the screen now."""
        return "\n".join(line.rstrip() for line in self._screen.display).strip()

    def sees(self, text: str, *, within: float = 20) -> None:
        wait_until(
            lambda: text in self._read(), within=within, what=f"{text!r} on:\n{self.transcript}"
        )

    def types(self, text: str) -> None:
        self.child.send(text)

    def resize(self, columns: int) -> None:
        self._screen.resize(40, columns)
        self.child.setwinsize(40, columns)

    def ends_with(self) -> int:
        """Its exit code."""
        wait_until(lambda: (self._read(), not self.child.isalive())[1], within=30, what=self.text)
        self._read()
        self.child.close()
        return -(self.child.signalstatus or 0) or int(self.child.exitstatus or 0)

    def close(self) -> None:
        self.child.close(force=True)

    def _read(self) -> str:
        try:
            data = self.child.read_nonblocking(65536, timeout=0.05)
        except (pexpect.TIMEOUT, pexpect.EOF):
            return self.text
        self.transcript += data
        self._stream.feed(data)
        return self.text

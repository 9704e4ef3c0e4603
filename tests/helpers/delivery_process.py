"""The delivery process by itself: ``python -m helpers.delivery_process HOME``, and its keeper.

For tests that kill it at one of its steps without a whole host around it.
"""

import os
import subprocess
import sys
from pathlib import Path

from helpers.kill_points import ROOT

from nanoclaw.config import load_config
from nanoclaw.log import setup_logging
from nanoclaw.paths import HostPaths
from nanoclaw.supervise.child import ChildContext


class DeliveryProcess:
    """One process at a time; never left behind."""

    def __init__(self, paths: HostPaths, kill_folder: Path) -> None:
        self._paths = paths
        self._kill_folder = kill_folder
        self._log = paths.home / "delivery.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
        environment["PYTHONPATH"] = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
        environment["NANOCLAW_KILL_DIR"] = str(self._kill_folder)
        with self._log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "helpers.delivery_process", str(self._paths.home)],
                cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    @property
    def is_dead(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)

    def log(self) -> str:
        return self._log.read_text()


def main() -> int:
    from nanoclaw.process import delivery

    config = load_config(home=Path(sys.argv[1]), environment={"LOG_LEVEL": "info"})
    setup_logging(config, "delivery", to_stderr=True)
    delivery.run(ChildContext(config, "delivery"))
    return 0


if __name__ == "__main__":
    sys.exit(main())

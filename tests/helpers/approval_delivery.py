"""The delivery process alone, as a program, for tests that kill it. Says ``ready`` when it is."""

import sys
from pathlib import Path

from nanoclaw.config import HostConfig
from nanoclaw.process import delivery
from nanoclaw.supervise.child import ChildContext


def main() -> None:
    config = HostConfig(Path(sys.argv[1]))
    delivery.run(ChildContext(config, "delivery", ready=_say_ready))


def _say_ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

"""Runs one channel worker in the foreground: ``python -m helpers.channel_process HOME INSTANCE``.

For tests that kill or restart a worker without a whole host around it.
"""

import sys
from pathlib import Path

from nanoclaw.config import load_config
from nanoclaw.errors import NanoclawError
from nanoclaw.log import setup_logging
from nanoclaw.process import channel
from nanoclaw.supervise.child import ChildContext


def main() -> int:
    home, instance = Path(sys.argv[1]), sys.argv[2]
    config = load_config(home=home, environment={"LOG_LEVEL": "debug"})
    name = f"channel:{instance}"
    setup_logging(config, name, to_stderr=True)
    try:
        channel.run(ChildContext(config, name))
    except NanoclawError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())

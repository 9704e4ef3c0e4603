"""``nanoclaw run`` for crash tests: children that are killed every second come back at once.

Everything else is the real host; the growing delay has its own tests.
"""

import sys
from dataclasses import replace
from pathlib import Path

from nanoclaw.config import load_config, read_service_manager
from nanoclaw.daemon import run_host
from nanoclaw.supervise.state import RestartPolicy

if __name__ == "__main__":
    words = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    config = load_config(
        home=Path(words["--home"]),
        flags={"runtime": words["--runtime"], "image_base": "nanoclaw-agent-test"},
    )
    policy = replace(RestartPolicy(), delays_seconds=(0.1,), crashes_until_fatal=1000)
    raise SystemExit(run_host(config, read_service_manager(), policy=policy))

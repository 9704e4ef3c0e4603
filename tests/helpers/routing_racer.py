"""One of several programs that route into the same installation at the same moment.

Run as ``python -m helpers.routing_racer HOME NAME COUNT``: says ready, waits for a line, then
commits COUNT events of its own channel account and prints the ids of their sessions.
"""

import sys
from pathlib import Path

from helpers.routing_stage import message

from contract.clock import utc_now
from nanoclaw.db.connection import open_central
from nanoclaw.paths import HostPaths
from nanoclaw.routing.apply import Committer
from nanoclaw.routing.arrival import Arrival


def main(home: Path, name: str, count: int) -> None:
    paths = HostPaths(home)
    conn = open_central(paths.central_db)
    committer = Committer(conn, paths)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    for number in range(count):
        event = message(number, platform_id=f"double:{number}", channel_type="double")
        (decided,) = committer.commit([Arrival(name, False, event, "cli")], utc_now())
        sys.stdout.write("".join(f"{row.session_id}\n" for row in decided.plan.rows))
    conn.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))

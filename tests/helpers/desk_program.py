"""One call of a tool in a process of its own: ``python -m helpers.desk_program TOOL ID JSON``.

For tests that kill a process in the middle of a call, or let several write at once; ``COUNT``
repeats the call.
"""

import asyncio
import json
import os
import sys

from contract.layout import RunnerPaths
from runner.desk.access import OwnStore
from runner.desk.batch import StoredBatch
from runner.desk.desk import Desk
from runner.lease import Lease
from runner.settings import read_settings
from runner.toolbox.base import ToolCall
from runner.tools.nanoclaw.toolset import nanoclaw_tools


async def main(tool: str, call_id: str, arguments: str) -> int:
    settings = read_settings(RunnerPaths.from_environment(os.environ))
    store = OwnStore(settings.paths, Lease(settings.paths.session_json, settings.session.lease))
    desk = Desk(settings.paths, store, StoredBatch(settings.paths, store))
    tools = {found.spec.name: found for found in nanoclaw_tools(desk, "UTC")}
    for number in range(int(os.environ.get("COUNT", "1"))):
        call = ToolCall(f"{call_id}-{number}" if number else call_id)
        result = await tools[tool].run(json.loads(arguments), call)
        if result.is_error:
            sys.stderr.write(result.text)
            return 1
    store.close()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))

"""A marker key that an agent's requests are paid with is nowhere in its real container."""

import subprocess
from pathlib import Path

from helpers.agent import CHAT, AgentHome
from helpers.canary import files_with_the_marker, processes_with_the_marker, set_marker
from helpers.messages_api.answers import to
from helpers.messages_api.server import KEY, MessagesApi

CONTROL = "control-marker-7c1e"
"""Put into one file, to see that the search finds what is there."""
MEMORY = "cat /proc/*/environ /proc/*/cmdline | tr '\\0' '\\n'; env"
FILES = f"grep -ral -e {KEY} -e {CONTROL} / --exclude-dir=proc --exclude-dir=sys"


def docker(*words: str) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_marker_key_is_nowhere_in_the_container_nor_beside_it(tmp_path: Path) -> None:
    with MessagesApi() as api, AgentHome(tmp_path, api, "docker", key=None) as home:
        set_marker(home)
        api.script(to(CHAT, "Hello."))
        home.start()
        home.ask("Hi")
        (home.group_folder / "control.txt").write_text(CONTROL)
        (container,) = home.containers()

        memory = docker("exec", container, "sh", "-c", MEMORY)
        files = docker("exec", container, "sh", "-c", f"{FILES} 2>/dev/null")
        described = docker("inspect", container) + docker("logs", container)

        assert "runner" in memory
        assert KEY not in memory
        assert files.split() == ["/workspace/agent/control.txt"]
        assert KEY not in described
        assert files_with_the_marker(home.paths.home) == [home.paths.secrets / "anthropic-api-key"]
        assert processes_with_the_marker() == []
        assert len(api.requests) == 1

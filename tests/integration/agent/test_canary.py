"""A marker key that an agent's requests are paid with is nowhere but in its file."""

from pathlib import Path

from helpers.agent import CHAT, AgentHome
from helpers.canary import files_with_the_marker, processes_with_the_marker, set_marker
from helpers.messages_api.answers import to
from helpers.messages_api.server import KEY, MessagesApi


def test_marker_key_is_nowhere_but_in_its_file(tmp_path: Path) -> None:
    with MessagesApi() as api, AgentHome(tmp_path, api, "process", key=None) as home:
        set_marker(home)
        api.script(to(CHAT, "Hello."))
        home.start()
        home.ask("Hi")

        used = [request.headers.get("authorization") for request in api.requests]
        files = files_with_the_marker(home.paths.home)
        vault = home.host.child("vault").pid
        limits = Path(f"/proc/{vault}/limits").read_text()

        assert used == [f"Bearer {KEY}"]
        assert files == [home.paths.secrets / "anthropic-api-key"]
        assert processes_with_the_marker() == []
        core = next(line for line in limits.splitlines() if line.startswith("Max core file"))
        assert core.split()[4:6] == ["0", "0"]

"""A real vault with OneCLI's stand-in behind it, and the clicks of the owner at the terminal."""

from pathlib import Path

from helpers.kill_points import KillFolder
from helpers.onecli_stand_in import OneCli
from helpers.vault_process import VaultProcess
from helpers.waiting import wait_until

from contract.clock import utc_now
from nanoclaw.approvals import answers
from nanoclaw.approvals.clicks import Click
from nanoclaw.db import agent_groups, gateway
from nanoclaw.db.approvals import Approval
from nanoclaw.db.connection import transaction
from nanoclaw.events import ActionResult

OWNER = "cli:local"
APPROVE, REJECT = "0", "1"


class Scene:
    """``vault`` is not started yet."""

    def __init__(self, folder: Path, onecli: OneCli, vault: VaultProcess) -> None:
        self.onecli = onecli
        self.vault = vault
        self.kill = KillFolder(folder / "kill")
        self.kill.path.mkdir()
        vault.environment["NANOCLAW_KILL_DIR"] = str(self.kill.path)
        with vault.database() as conn:
            (self.group, *_) = agent_groups.list_all(conn)
        onecli.agents[self.group.id] = self.group.name

    def settings(self, **more: str) -> None:
        self.vault.settings(
            **{"credentials_backend": "onecli", "onecli_url": self.onecli.url, **more}
        )

    def rows(self) -> list[Approval]:
        with self.vault.database() as conn:
            return gateway.every(conn)

    def card(self, request_id: str) -> Approval:
        """Waits until this request's card can be sent."""

        def find() -> Approval | None:
            return next((row for row in self.rows() if row.request_id == request_id), None)

        found = wait_until(find, within=15, what=f"a card for {request_id}\n{self.vault.log()}")
        assert found is not None
        return found

    def press(self, card_id: str, value: str, user_id: str = OWNER) -> ActionResult:
        """As the router does it."""
        with self.vault.database() as conn, transaction(conn):
            click = Click(card_id, value, user_id, "cli", "local", "m-1")
            return answers.answer(conn, click, utc_now())

    def wait_for_rows(self, count: int) -> None:
        wait_until(lambda: len(self.rows()) == count, within=15, what=f"{count} rows")

    def audit(self) -> list[str]:
        with self.vault.database() as conn:
            sql = "SELECT kind FROM audit WHERE kind LIKE 'credential.%' ORDER BY seq"
            return [str(row[0]) for row in conn.execute(sql)]

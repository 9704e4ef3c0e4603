"""A reactor whose time goes on only when the test says so."""

from nanoclaw.reactor import Reactor


class ClockedReactor(Reactor):
    """One at a time: its clock belongs to the class, as the real one's belongs to the machine."""

    time = 1000.0

    def __init__(self) -> None:
        ClockedReactor.time = 1000.0
        super().__init__()

    @staticmethod
    def now() -> float:
        return ClockedReactor.time

    def pass_time(self, seconds: float) -> None:
        """Runs what becomes due, and what that brings about."""
        ClockedReactor.time += seconds
        self.settle()

    def settle(self) -> None:
        for _ in range(5):
            self.run_once(0)

"""Commands that look at more than one kind of thing; listed for ``commands``."""

from nanoclaw.admin.logs import LOGS
from nanoclaw.admin.registry import Operation
from nanoclaw.admin.search import SEARCH
from nanoclaw.admin.top import TOP
from nanoclaw.admin.why import WHY

VIEWS: tuple[Operation, ...] = (LOGS, SEARCH, TOP, WHY)

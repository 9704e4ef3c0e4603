"""What every connection of this process shares, kept apart from what is slow to import."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Surroundings:
    """``mode`` is how the protocol is negotiated; ``environment`` has no secrets any more."""

    environment: Mapping[str, str]
    cwd: Path
    logger: logging.Logger
    mode: Literal["auto", "legacy"] = "auto"

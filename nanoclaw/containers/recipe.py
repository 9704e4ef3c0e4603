"""What the agent image is made from, and the name it gets.

Read by the sweep, to find the image, and by ``image``, to build it. The image carries the hash of
its recipe as a label: one that fits is used, whoever has built it, and a changed recipe is another
image.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nanoclaw.config import HostConfig
from nanoclaw.errors import ContainerError

BUILD_LABEL = "nanoclaw.build"
RECIPE_FILES = ("Dockerfile", "lock/tools.txt", "lock/runner.txt")
HASH_LENGTH = 16


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what is in the image."""

    files: Mapping[str, bytes]
    arguments: Mapping[str, str]

    @property
    def hash(self) -> str:
        digest = hashlib.sha256()
        for name, content in sorted(self.files.items()):
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        for name, value in sorted(self.arguments.items()):
            digest.update(f"{name}={value}\0".encode())
        return digest.hexdigest()[:HASH_LENGTH]

    @property
    def label(self) -> str:
        """By which an image of this recipe is found, whoever built it."""
        return f"{BUILD_LABEL}={self.hash}"


def read_recipe(config: HostConfig, root: Path | None = None) -> Recipe:
    """From the files beside our packages: a checkout, or the unpacked copy of nanoclaw.pyz."""
    root = root or Path(__file__).resolve().parents[2]
    try:
        files = {name: (root / name).read_bytes() for name in RECIPE_FILES}
    except OSError as error:
        raise ContainerError(f"the image's recipe is incomplete: {error}") from error
    return Recipe(
        files,
        {
            "BASE": config.base_image,
            "INSTALL_BROWSER": str(config.browser).lower(),
            "INSTALL_CJK_FONTS": str(config.cjk_fonts).lower(),
        },
    )


def repository(config: HostConfig) -> str:
    """H-155: one name per installation."""
    return config.image_base or f"nanoclaw-agent-v2-{config.paths.slug}"

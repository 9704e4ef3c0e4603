"""Whether the image this runner was started in is one that it can work with (R-225).

Called by ``program`` before anything third-party is imported. The code is mounted and always new,
the image may be old: a group's own image stays as it is when the host is updated. The image says
in ``deps.json`` which generation of packages it carries. Outside of an image there is no such file,
and nothing to check.
"""

import sys
from pathlib import Path

from contract.errors import BadContent
from contract.jsontext import parse_object
from runner.errors import ConfigError

IMAGE_PREFIX = Path("/opt/nanoclaw")
OLDEST_API, NEWEST_API = 1, 1
"""Of the images that we can work with; ``api`` in the Dockerfile."""
MAX_BYTES = 256 * 1024
_NOTICE = (
    "The agent cannot start: its image does not fit this version of NanoClaw. Whoever runs this "
    "installation has to build it again, with: nanoclaw image build"
)


def check_image(prefix: Path | None = None) -> None:
    """Raises ConfigError, which ends as exit code 78."""
    where = Path(sys.prefix) if prefix is None else prefix
    try:
        with (where / "deps.json").open("rb") as file:
            text = file.read(MAX_BYTES + 1).decode()
    except FileNotFoundError as error:
        if where != IMAGE_PREFIX:
            return
        raise ConfigError("the image has no deps.json and is too old", _NOTICE) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the image's deps.json cannot be read: {error}", _NOTICE) from error
    try:
        api = parse_object(text, max_bytes=MAX_BYTES).get("api")
    except BadContent as error:
        raise ConfigError(f"the image's deps.json is unusable: {error}", _NOTICE) from error
    if not isinstance(api, int) or not OLDEST_API <= api <= NEWEST_API:
        raise ConfigError(
            f"the image is of generation {api!r}, this runner needs {OLDEST_API} to {NEWEST_API}; "
            "build it again with `nanoclaw image build`",
            _NOTICE,
        )

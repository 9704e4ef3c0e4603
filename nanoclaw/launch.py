"""How this same program is started once more, from a checkout or from the single file.

Used by the demo and by whatever writes service units; knows nothing about what is started.
"""

import sys
import zipfile
from pathlib import Path


def own_command() -> list[str]:
    """The words that start ``nanoclaw``; arguments are appended to them."""
    archive = Path(sys.argv[0])
    if archive.is_file() and zipfile.is_zipfile(archive):
        return [sys.executable, str(archive.absolute())]
    return [sys.executable, "-m", "nanoclaw"]

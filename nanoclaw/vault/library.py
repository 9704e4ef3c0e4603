"""Where the library for certificates comes from, and what to do without it.

Asked by ``intercept`` and ``nanoclaw extras``. It is found when the running Python has it (a
package of the distribution, a virtual environment) or in the folder where ``nanoclaw extras add
intercept`` puts it; that one comes last on the path, so that it never replaces anything.
"""

import importlib
import sys
from pathlib import Path

EXTRA = "intercept"
MODULE = "cryptography.hazmat.primitives.asymmetric.ec"
"""Imports the compiled part too."""
NEXT_STEP = (
    "whoever runs this installation gets the library for certificates with "
    "`nanoclaw extras add intercept`"
)


def problem(folder: Path) -> str | None:
    """Why certificates cannot be made; None when they can. Cheap once it has worked."""
    if MODULE in sys.modules:
        return None
    if folder.is_dir() and str(folder) not in sys.path:
        sys.path.append(str(folder))
    importlib.invalidate_caches()
    try:
        importlib.import_module(MODULE)
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "cryptography":
            return f"the vault cannot look into TLS connections yet: {NEXT_STEP}"
        return (
            f"the library for certificates does not work with this Python ({error}); remove it "
            "with `nanoclaw extras remove intercept` and add it again"
        )
    return None

"""``~/.local/bin/ncl``, and the pointer that says which home it belongs to (S-141).

Called by ``actions``. A file that somebody put there stays; whatever goes wrong is a remark and
never stops an installation. With several installations the link names the last one.
"""

import json
import os
from pathlib import Path

from nanoclaw.service.files import write_file
from nanoclaw.service.kinds import ServiceError
from nanoclaw.service.spec import ServiceSpec
from nanoclaw.version import VERSION

POINTERS = Path(".local/share/nanoclaw")


def link_file(spec: ServiceSpec) -> Path:
    return spec.user_home / ".local" / "bin" / "ncl"


def pointer_file(spec: ServiceSpec) -> Path:
    return spec.user_home / POINTERS / f"{spec.slug}.json"


def target(spec: ServiceSpec) -> Path | None:
    """The single file, or the script beside the interpreter of a checkout."""
    if len(spec.program) == 2:
        return Path(spec.program[1])
    script = Path(spec.program[0]).with_name("ncl")
    return script if script.is_file() else None


def link(spec: ServiceSpec) -> list[str]:
    """Makes link and pointer; remarks are returned."""
    place, wanted = link_file(spec), target(spec)
    if wanted is None:
        return []
    if not os.access(wanted, os.X_OK):
        return [f"no link {place}: {wanted} cannot be executed; run: chmod +x {wanted}"]
    try:
        earlier = place.readlink() if place.is_symlink() else None
        if earlier is None and os.path.lexists(place):
            return [f"{place} is a file of somebody else and stays; ours is `nanoclaw ncl`"]
        pointer = {"root": str(spec.home), "version": VERSION}
        write_file(pointer_file(spec), json.dumps(pointer).encode(), 0o644)
        if earlier == wanted:
            return []
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = place.with_name(f".ncl-{spec.slug}")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(wanted)
        temporary.replace(place)
    except (OSError, ServiceError) as error:
        return [f"no link {place}: {error}"]
    return [] if earlier is None else [f"{place} belonged to {earlier} and is ours now"]


def unlink(spec: ServiceSpec) -> list[str]:
    """Takes away what is ours: the pointer, and the link if no other home uses its target."""
    place, removed = link_file(spec), []
    try:
        pointer = pointer_file(spec)
        if pointer.exists():
            pointer.unlink()
            removed.append(f"removed {pointer}")
        others = list(pointer.parent.glob("*.json")) if pointer.parent.is_dir() else []
        if place.is_symlink() and place.readlink() == target(spec) and not others:
            place.unlink()
            removed.append(f"removed {place}")
    except OSError as error:
        removed.append(f"link and pointer stay: {error}")
    return removed


def is_linked(spec: ServiceSpec) -> bool:
    place = link_file(spec)
    return place.is_symlink() and place.readlink() == target(spec)

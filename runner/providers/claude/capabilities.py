"""What a model can do: window, output limit, thinking, effort, compaction, notes, media. Pure.

Filled from the Models API (``capabilities_of``) or, when that cannot be asked, from a table by
prefix of the model's name; an unknown model gets the careful defaults (R-277). The choices that
depend on it, thinking and effort and the size of an answer, are made here too (R-242, R-278).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from runner.providers.claude.records import Json

EFFORTS = ("low", "medium", "high", "xhigh", "max")
MAX_TOKENS, MAX_TOKENS_HIGH_EFFORT = 32_000, 64_000
_HIGH_EFFORTS = frozenset({"xhigh", "max"})


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The defaults are those of a model that nobody knows."""

    context_tokens: int = 200_000
    output_tokens: int = 8_192
    adaptive_thinking: bool = False
    efforts: tuple[str, ...] = ()
    server_compaction: bool = False
    system_role: bool = False
    """Takes ``role: "system"`` messages in the list (R-247)."""
    server_tools: bool = False
    images: bool = True
    documents: bool = True


UNKNOWN = Capabilities()
COMPATIBLE = Capabilities()
"""Of an endpoint that only speaks the language: nothing but the basics is sent (R-279)."""

_CURRENT = Capabilities(
    context_tokens=1_000_000,
    output_tokens=128_000,
    adaptive_thinking=True,
    efforts=EFFORTS,
    server_compaction=True,
    system_role=True,
    server_tools=True,
)
_OLDER = replace(_CURRENT, efforts=("low", "medium", "high", "max"), system_role=False)
_OLDEST = Capabilities(output_tokens=64_000, server_tools=True)

_BY_PREFIX: dict[str, Capabilities] = {
    "claude-fable-5": _CURRENT,
    "claude-mythos-5": _CURRENT,
    "claude-opus-5": _CURRENT,
    "claude-opus-4-8": _CURRENT,
    "claude-opus-4-7": replace(_CURRENT, system_role=False),
    "claude-opus-4-6": _OLDER,
    "claude-sonnet-5-5": _CURRENT,
    "claude-sonnet-5": replace(_CURRENT, system_role=False),
    "claude-sonnet-4-6": _OLDER,
    "claude-haiku-5-5": _CURRENT,
    "claude-opus-4-5": replace(_OLDEST, efforts=("low", "medium", "high")),
    "claude-sonnet-4-5": _OLDEST,
    "claude-haiku-4-5": _OLDEST,
}
"""From the public model pages of November 2026; the Models API comes first."""


def known_capabilities(model: str) -> Capabilities:
    """The table's entry with the longest prefix of this name."""
    matching = [prefix for prefix in _BY_PREFIX if is_version_of(model, prefix)]
    return _BY_PREFIX[max(matching, key=len)] if matching else UNKNOWN


def is_version_of(model: str, prefix: str) -> bool:
    """``claude-opus-5`` names ``claude-opus-5-20260724`` and itself, not ``claude-opus-51``."""
    return model == prefix or model.startswith((f"{prefix}-", f"{prefix}@"))


def capabilities_of(model: Mapping[str, object]) -> Capabilities:
    """From an entry of the Models API. What it does not say is taken from the table."""
    known = known_capabilities(str(model.get("id", "")))
    told = model.get("capabilities")
    result = replace(
        known,
        context_tokens=_positive(model.get("max_input_tokens"), known.context_tokens),
        output_tokens=_positive(model.get("max_tokens"), known.output_tokens),
    )
    if not isinstance(told, dict):
        return result
    return replace(
        result,
        adaptive_thinking=_supported(told, "thinking", "types", "adaptive", known=False),
        efforts=tuple(level for level in EFFORTS if _supported(told, "effort", level, known=False)),
        server_compaction=_supported(
            told, "compaction", "summarize", known=known.server_compaction
        ),
        server_tools=_supported(told, "server_tools", known=known.server_tools),
        images=_supported(told, "image_input", known=known.images),
        documents=_supported(told, "pdf_input", known=known.documents),
    )


def choose_thinking(capabilities: Capabilities) -> Json | None:
    """R-278."""
    return {"type": "adaptive"} if capabilities.adaptive_thinking else None


@dataclass(frozen=True, slots=True)
class EffortChoice:
    """``problem`` is a line for the log when the wish could not be met."""

    effort: str | None
    problem: str | None = None


def choose_effort(wanted: str | None, capabilities: Capabilities) -> EffortChoice:
    """The level itself, else the nearest lower one that the model knows, else none (R-278)."""
    if wanted is None or wanted in capabilities.efforts:
        return EffortChoice(wanted)
    lower = EFFORTS[: EFFORTS.index(wanted)] if wanted in EFFORTS else ()
    usable = [level for level in lower if level in capabilities.efforts]
    if not usable:
        return EffortChoice(None, f"effort {wanted} is not known to the model, none is sent")
    return EffortChoice(usable[-1], f"effort {wanted} is not known to the model, {usable[-1]} is")


def choose_max_tokens(capabilities: Capabilities, effort: str | None) -> int:
    """R-242."""
    limit = MAX_TOKENS_HIGH_EFFORT if effort in _HIGH_EFFORTS else MAX_TOKENS
    return min(capabilities.output_tokens, limit)


def _supported(told: Mapping[str, object], *path: str, known: bool) -> bool:
    """The ``supported`` at the end of the path; ``known`` when it is not told."""
    value: object = told
    for name in path:
        if not isinstance(value, dict):
            return known
        value = value.get(name)
    if not isinstance(value, dict) or not isinstance(value.get("supported"), bool):
        return known
    return value["supported"] is True


def _positive(value: object, default: int) -> int:
    return value if isinstance(value, int) and value > 0 else default

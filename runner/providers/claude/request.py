"""Builds the body of a model request from the stored head and the active list of messages.

Pure. Called by ``engine`` and ``subagent`` before every attempt that is not a mere repetition. Two
requests of one epoch begin with the same bytes except for moved cache markers (R-261, R-268); what
the endpoint does not know is left out (R-279), and what was sent is listed, to be blamed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from runner.providers.claude.caching import Markers, mark_messages, mark_system
from runner.providers.claude.client import ApiRequest
from runner.providers.claude.epoch import Prefix
from runner.providers.claude.features import Feature, FeatureSet
from runner.providers.claude.message import Block
from runner.providers.claude.records import Message, content_blocks
from runner.providers.claude.repair import join_roles
from runner.providers.claude.webtools import feature_of

BINDING_BETA = "thinking-binding-controls-2026-08-01"
COMPACTION_BETA = "compact-2026-09-04"
FALLBACK_BETA = "server-side-fallback-2026-07-01"
OPENING = "(The conversation begins here.)"


@dataclass(frozen=True, slots=True)
class RequestPlan:
    """``final``: the model is to answer without tools. ``fallback``: another model on refusal."""

    prefix: Prefix
    messages: Sequence[Message]
    max_tokens: int
    markers: Markers = field(default_factory=Markers)
    drop_block: bool = False
    final: bool = False
    fallback: str | None = None
    system_role: bool = True
    """The model takes notes in the role ``system``."""


def build_request(plan: RequestPlan, features: FeatureSet) -> ApiRequest:
    sent: set[Feature] = set()
    betas: list[str] = []
    prefix = plan.prefix
    messages = render_messages(
        plan.messages, system_role=plan.system_role and features.has(Feature.SYSTEM_ROLE)
    )
    system: list[Block] = [dict(block) for block in prefix.system]
    if features.has(Feature.CACHE):
        sent.add(Feature.CACHE)
        markers = plan.markers
        if markers.long and not features.has(Feature.LONG_CACHE):
            markers = Markers(markers.turn_start)
        if markers.long:
            sent.add(Feature.LONG_CACHE)
        system, messages = mark_system(system, markers), mark_messages(messages, markers)
    body: dict[str, object] = {"model": prefix.model, "max_tokens": plan.max_tokens}
    if system:
        body["system"] = system
    tools = _tools(prefix.tools, features, sent)
    if tools:
        body["tools"] = tools
        if plan.final and features.has(Feature.TOOL_CHOICE):
            sent.add(Feature.TOOL_CHOICE)
            body["tool_choice"] = {"type": "none"}
    body["messages"] = messages
    _add_thinking(body, plan, features, sent, betas)
    if plan.fallback is not None and features.has(Feature.FALLBACKS):
        sent.add(Feature.FALLBACKS)
        body["fallbacks"] = [{"model": plan.fallback}]
        betas.append(FALLBACK_BETA)
    if any(message.get("role") == "system" for message in messages):
        sent.add(Feature.SYSTEM_ROLE)
    if _has_compaction(messages):
        betas.append(COMPACTION_BETA)
    return ApiRequest(body, tuple(betas), frozenset(sent))


def render_messages(messages: Sequence[Message], *, system_role: bool) -> list[Message]:
    """Notes as the endpoint takes them: in the role ``system``, or in a user message (R-247)."""
    if system_role or all(message.get("role") != "system" for message in messages):
        return list(messages)
    return join_roles([_as_user(message) for message in messages])


def note_block(text: str) -> Block:
    """An operator note inside a user message; nobody else can write this tag (R-247)."""
    return {"type": "text", "text": f"<system>{text.replace('</system', '< /system')}</system>"}


def _as_user(message: Message) -> Message:
    if message.get("role") != "system":
        return message
    texts = [str(block.get("text") or "") for block in content_blocks(message)]
    return {"role": "user", "content": [note_block(text) for text in texts if text.strip()]}


def _tools(tools: Iterable[Block], features: FeatureSet, sent: set[Feature]) -> list[Block]:
    kept = []
    for tool in tools:
        feature = feature_of(tool)
        if feature is not None:
            if not features.has(feature):
                continue
            sent.add(feature)
        kept.append(dict(tool))
    return kept


def _add_thinking(
    body: dict[str, object],
    plan: RequestPlan,
    features: FeatureSet,
    sent: set[Feature],
    betas: list[str],
) -> None:
    prefix = plan.prefix
    if prefix.thinking and features.has(Feature.THINKING):
        sent.add(Feature.THINKING)
        thinking: dict[str, object] = dict(prefix.thinking)
        if plan.drop_block and features.has(Feature.DROP_BLOCK):
            sent.add(Feature.DROP_BLOCK)
            thinking["block_binding"] = {"prefix_mismatch_behavior": "drop_block"}
            betas.append(BINDING_BETA)
        body["thinking"] = thinking
    if prefix.effort and features.has(Feature.EFFORT):
        sent.add(Feature.EFFORT)
        body["output_config"] = {"effort": prefix.effort}


def _has_compaction(messages: Iterable[Mapping[str, object]]) -> bool:
    return any(
        block.get("type") == "compaction"
        for message in messages
        for block in content_blocks(message)
    )

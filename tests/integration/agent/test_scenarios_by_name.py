"""The acceptance scenarios of the agent, and the test that shows each of them.

The left side is the scenario in the words of the specification, the right side a test that exists.
Nothing is run here: the tests themselves run where they stand.
"""

import ast
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[2]
UNIT = "unit/runner/test_scenarios.py"
LOOP = "integration/runner/test_scenarios.py"
STATE = "integration/runner/test_session_state.py"
ADDENDUM = "unit/runner/instructions/test_addendum.py"
IMPORTS = "integration/instructions/test_imports.py"
NUDGE = "integration/runner/test_nudge.py"
TURNS = "integration/runner/test_turns.py"
QUESTION = "integration/tools/test_question.py"

SCENARIOS: dict[str, dict[str, str]] = {
    "session state": {
        "set/get round trip, provider name case-insensitive": f"{STATE}::"
        "test_continuation_survives_and_the_providers_name_may_be_in_any_case",
        "providers isolated": f"{STATE}::test_providers_never_see_each_others_continuation",
        "clear affects one provider": f"{STATE}::test_clear_affects_one_provider",
        "unknown provider": f"{STATE}::test_unknown_provider_has_no_continuation",
        "legacy value adopted when slot empty": f"{STATE}::"
        "test_legacy_value_is_adopted_when_the_slot_is_empty",
        "legacy row always deleted": f"{STATE}::test_legacy_row_is_always_deleted",
        "existing slot preferred": f"{STATE}::test_existing_slot_is_preferred_to_the_legacy_value",
        "no legacy row": f"{STATE}::test_without_a_legacy_row_there_is_nothing_to_adopt",
        "second migration harmless": f"{STATE}::test_second_migration_changes_nothing",
    },
    "time zone": {
        "UTC shown in a given zone": f"{UNIT}::test_utc_is_shown_in_a_given_zone",
        "same instant in two zones": f"{UNIT}::test_same_instant_is_shown_in_two_zones",
        "invalid zone falls back": f"{UNIT}::test_invalid_zone_falls_back_without_raising",
        "validity of names": f"{UNIT}::test_validity_of_zone_names",
        "resolve": f"{UNIT}::test_resolve_keeps_a_valid_zone_and_maps_an_invalid_one_to_utc",
        "Z text unchanged": f"{UNIT}::test_text_with_z_is_unchanged",
        "numeric offset respected": f"{UNIT}::test_numeric_offset_is_respected",
        "naive text in New York": f"{UNIT}::test_naive_text_is_wall_clock_time_in_new_york",
        "naive text east of UTC": f"{UNIT}::test_naive_text_is_wall_clock_time_east_of_utc",
        "naive text, invalid zone": f"{UNIT}::test_naive_text_in_an_invalid_zone_is_utc",
    },
    "formatter": {
        "header present": f"{UNIT}::test_header_is_present",
        "header for empty list": f"{UNIT}::test_header_is_present_for_an_empty_list",
        "header before messages": f"{UNIT}::test_header_comes_before_the_messages",
        "local time, 12-hour": f"{UNIT}::test_time_is_local_with_twelve_hours",
        "reply attribute plus quote": f"{UNIT}::test_reply_has_attribute_and_quote_when_complete",
        "neither without reply data": f"{UNIT}::test_message_without_reply_data_has_neither",
        "attribute only": f"{UNIT}::test_reply_without_the_text_has_the_attribute_only",
        "escaping": f"{UNIT}::test_quote_sender_and_body_are_escaped",
        "internal: one line": f"{UNIT}::test_internal_text_on_one_line_is_removed",
        "internal: several lines": f"{UNIT}::test_internal_text_over_several_lines_is_removed",
        "internal: several blocks": f"{UNIT}::test_several_internal_blocks_are_removed",
        "internal: only internal": f"{UNIT}::test_only_internal_text_leaves_nothing",
        "internal: none": f"{UNIT}::test_text_without_internal_tags_is_unchanged",
        "internal: surroundings kept": f"{UNIT}::test_surroundings_of_internal_text_are_kept",
    },
    "kinds": {
        "single chat": f"{UNIT}::test_single_chat_stands_alone",
        "several chats in one block": f"{UNIT}::test_several_chats_are_one_block",
        "task shape": f"{UNIT}::test_task_has_its_shape",
        "webhook shape": f"{UNIT}::test_webhook_has_its_shape",
        "system shape": f"{UNIT}::test_system_row_has_its_shape",
        "mixed kinds": f"{UNIT}::test_mixed_kinds_are_parts_of_their_own",
        "special characters": f"{UNIT}::test_special_characters_are_escaped_in_every_kind",
    },
    "gate and wake": {
        "both trigger values": f"{UNIT}::test_pending_list_holds_both_trigger_values",
        "context-only batch": f"{UNIT}::test_batch_of_context_only_fails_the_gate",
        "mixed batch": f"{UNIT}::test_mixed_batch_passes_and_carries_its_context",
        "default trigger is 1": f"{LOOP}::test_row_without_an_explicit_trigger_wakes",
        "on_wake on first poll": f"{UNIT}::test_scenario_41_on_wake_row_comes_on_the_first_poll",
        "on_wake hidden afterwards": f"{UNIT}::test_scenario_42_on_wake_row_is_hidden_afterwards",
        "normal rows always": f"{UNIT}::test_scenario_43_normal_row_is_returned_always",
        "mixed batches both ways": f"{UNIT}::test_scenario_44_45_mixed_batch_goes_both_ways",
        "on_wake default 0": "integration/contract/test_lazy_upgrade.py::"
        "test_the_runner_reads_an_old_file_alike_before_and_after_the_upgrade",
    },
    "origin": {
        "known destination": f"{UNIT}::test_chat_of_a_known_destination_has_its_name",
        "unknown origin": f"{UNIT}::test_unknown_origin_shows_its_raw_form",
        "NULL origin": f"{UNIT}::test_row_without_an_origin_has_no_attribute",
        "task with and without": f"{UNIT}::test_task_with_and_without_an_origin",
        "webhook": f"{UNIT}::test_webhook_with_an_origin",
        "system": f"{UNIT}::test_system_row_with_an_origin",
        "routing taken from a row": f"{UNIT}::test_routing_is_taken_from_a_row",
    },
    "mock provider": {
        "init then result": "integration/runner/test_scripted.py::"
        "test_conversation_is_named_before_the_first_result",
        "push gives a second result": "integration/runner/test_scripted.py::"
        "test_push_wakes_a_stream_that_rests",
    },
    "loop": {
        "row to row": f"{LOOP}::test_inbound_row_becomes_an_outbound_row_and_is_completed",
        "batch of two in one prompt": f"{LOOP}::test_batch_of_two_is_one_prompt",
        "two destinations": "integration/runner/test_dispatch.py::"
        "test_two_destinations_get_their_own_threads_and_reply_ids",
        "bare text": f"{NUDGE}::test_bare_text_produces_no_row_and_the_agent_is_told_once",
        "unknown destination": f"{LOOP}::"
        "test_unknown_destination_is_dropped_and_the_valid_one_is_sent",
        "several blocks": f"{LOOP}::test_several_blocks_are_several_rows",
        "no earlier inbound": "integration/runner/test_dispatch.py::"
        "test_chat_never_heard_of_gets_no_thread",
        "newest thread wins": f"{LOOP}::test_newest_thread_wins_when_there_are_two",
        "row arriving after start": "integration/runner/test_answering.py::"
        "test_message_that_comes_later_wakes_the_runner",
        "internal between blocks": f"{LOOP}::test_internal_text_between_blocks_is_not_sent",
        "task and chat": f"{LOOP}::test_batch_of_a_task_and_a_chat_shows_the_origin_of_each",
        "provider exception": f"{TURNS}::"
        "test_failing_turn_is_told_in_one_sentence_and_the_loop_goes_on",
        "session-invalid": f"{TURNS}::"
        "test_unusable_conversation_is_forgotten_and_the_message_answered",
        "/clear": "integration/runner/test_commands.py::"
        "test_clear_writes_confirmation_archives_forgets_and_skips_the_provider",
    },
    "destinations": {
        "several": f"{ADDENDUM}::test_several_destinations_are_a_list_in_the_order_of_names",
        "single": f"{ADDENDUM}::test_one_destination_is_named_with_what_people_call_it",
        "none": f"{ADDENDUM}::test_without_destinations_nothing_can_be_sent_and_no_rule_is_given",
    },
    "core tools": {
        "in_reply_to": "integration/tools/test_send.py::"
        "test_send_message_stamps_the_current_batchs_in_reply_to",
        "NULL without batch": "integration/tools/test_send.py::"
        "test_send_message_without_a_batch_answers_nothing",
    },
    "registry": {
        "claude": f"{LOOP}::test_claude_is_created_by_its_factory",
        "mock": "unit/runner/test_registry.py::test_built_in_provider_is_found_by_name",
        "unknown raises": "unit/runner/test_registry.py::"
        "test_unknown_name_is_refused_with_the_known_ones",
    },
    "add-on providers": {  # Those programs are not run; their expansion of imports is ours.
        "imports: nested": f"{IMPORTS}::test_whole_line_is_replaced_by_the_file_in_place",
        "imports: cycle": f"{IMPORTS}::test_file_that_imports_itself_is_not_repeated",
        "imports: missing": f"{IMPORTS}::test_missing_file_is_named",
        "imports: other text untouched": f"{IMPORTS}::test_what_is_no_import_stays_as_it_is",
    },
    "not covered by the reference": {
        "backlog in order": "integration/runner/test_answering.py::"
        "test_backlog_is_answered_oldest_first_and_in_full",
        "acknowledgement look-ups": "integration/contract/test_outbound_writer.py::"
        "test_acknowledged_ids_are_found_among_many",
        "follow-up push": f"{TURNS}::test_follow_up_is_pushed_into_the_running_turn",
        "script gate on follow-ups": "integration/runner/test_gate.py::"
        "test_gate_applies_to_tasks_that_come_during_a_turn",
        "command ends stream": f"{TURNS}::test_clear_waits_for_the_running_turn",
        "nudge once": f"{NUDGE}::test_rows_stay_claimed_until_the_agent_has_answered_the_nudge",
        "second unwrapped answer": f"{NUDGE}::"
        "test_second_unwrapped_answer_goes_to_the_only_chat_it_can_be_meant_for",
        "crash between claim and result": "integration/runner/test_ends.py::"
        "test_killed_in_mid_turn_the_message_is_answered_once_by_the_next_lease",
        "question: answer": f"{QUESTION}::test_answer_is_the_result_and_is_acknowledged",
        "question: time-out": f"{QUESTION}::test_nobody_answers_in_time",
        "question: late answer": "integration/runner/test_system_rows.py::"
        "test_late_answer_becomes_a_message_with_its_question",
        "every tool's validation": "integration/tools/test_arguments.py::"
        "test_arguments_of_any_shape_give_a_result_and_no_row_on_error",
        "ncl time-out": "integration/tools/test_ncl.py::"
        "test_scenario_67_time_out_leaves_an_acknowledgement_for_the_late_answer",
        "two writers racing": f"{STATE}::test_two_writers_racing_for_numbers_never_share_one",
        "hot journal": "integration/runner/test_ends.py::"
        "test_journal_left_by_a_killed_host_only_delays",
        "heartbeat during long tools": "integration/runner/test_calls.py::"
        "test_heartbeat_goes_on_while_a_tool_runs",
        "SIGTERM in mid-turn": "integration/runner/test_ends.py::"
        "test_terminated_in_mid_turn_it_leaves_the_claim_for_the_next_lease",
        "destination changes mid-session": f"{NUDGE}::"
        "test_changed_destinations_are_told_with_the_next_prompt",
        "prefix forms of /clear": "integration/runner/test_commands.py::"
        "test_prefix_forms_of_clear_clear_nothing",
        "escaping of all fields": f"{UNIT}::"
        "test_fields_of_tasks_webhooks_and_attachments_are_escaped",
    },
}
NODES = [
    pytest.param(node, id=f"{area}: {name}")
    for area, scenarios in SCENARIOS.items()
    for name, node in scenarios.items()
]


@cache
def names_in(path: str) -> frozenset[str]:
    tree = ast.parse((TESTS / path).read_text())
    return frozenset(
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


@pytest.mark.parametrize("node", NODES)
def test_scenario_is_shown_by_a_test_that_exists(node: str) -> None:
    path, _, name = node.partition("::")

    assert name in names_in(path)


def test_no_test_stands_for_two_scenarios() -> None:
    nodes = [node for scenarios in SCENARIOS.values() for node in scenarios.values()]

    assert len(set(nodes)) == len(nodes)

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.ncl_answer import (
    DONE,
    INVALID_ARGS,
    REFUSED,
    TRANSPORT_ERROR,
    UNANSWERED,
    Output,
    render,
    unanswered,
)
from contract.ncl_words import Typed
from contract.table import Look

NO_ANSWER = "error (transport-error): the answer is neither data nor an error"
PLAIN, JSON, CSV, IDS = (
    Typed("x"),
    Typed("x", json=True),
    Typed("x", csv=True),
    Typed("x", ids=True),
)


def test_data_goes_to_standard_output() -> None:
    frame = {"id": "1", "ok": True, "data": [{"id": "a", "n": 1}]}

    assert render(frame, PLAIN, Look()) == Output("id  n\n──  ─\na   1")
    assert render(frame, CSV, Look()) == Output("id,n\na,1")
    assert render(frame, IDS, Look()) == Output("a")


@pytest.mark.parametrize("typed", [CSV, IDS])
def test_list_without_rows_is_nothing_at_all_for_programs(typed: Typed) -> None:
    assert render({"ok": True, "data": []}, typed, Look()) == Output("", nothing=True)


@pytest.mark.parametrize(("typed", "flag"), [(CSV, "--csv"), (IDS, "--ids")])
def test_answer_without_rows_is_no_csv_and_no_ids(typed: Typed, flag: str) -> None:
    output = render({"ok": True, "data": "text"}, typed, Look())

    assert (output.status, output.to_stderr) == (UNANSWERED, True)
    assert output.text.startswith(f"error (invalid-args): {flag} is for answers that are rows")


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        ({"ok": False, "error": {"code": "forbidden", "message": "no"}}, "error (forbidden): no"),
        ({"ok": False, "error": {"code": "x", "message": "a\nb\x1b"}}, "error (x): a b\\x1b"),
        ({"ok": False}, NO_ANSWER),
        ({"ok": "true", "data": 1}, NO_ANSWER),
        ({}, NO_ANSWER),
    ],
)
@pytest.mark.parametrize("typed", [PLAIN, CSV, IDS])
def test_refusal_is_one_line_on_standard_error(
    frame: dict[str, object], text: str, typed: Typed
) -> None:
    assert render(frame, typed, Look()) == Output(text, REFUSED, to_stderr=True)


@pytest.mark.parametrize(("done", "status"), [(True, DONE), (False, REFUSED)])
def test_json_is_the_whole_frame_and_keeps_the_status(done: bool, status: int) -> None:
    frame = {"id": "1", "ok": done, "data": "ä"}

    output = render(frame, JSON, Look())

    assert (output.status, output.to_stderr) == (status, False)
    assert json.loads(output.text) == frame
    assert "ä" in output.text


def test_no_answer_has_lines_for_people_and_a_frame_for_programs() -> None:
    said = unanswered(TRANSPORT_ERROR, "first\nsecond\x07", PLAIN)
    frame = unanswered(INVALID_ARGS, "text", JSON)

    assert said == Output("first\nsecond\\x07", UNANSWERED, to_stderr=True)
    assert (frame.status, frame.to_stderr) == (UNANSWERED, False)
    assert json.loads(frame.text) == {
        "id": "",
        "ok": False,
        "error": {"code": "invalid-args", "message": "text"},
    }


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=10,
)


@settings(deadline=None, max_examples=200)
@given(
    st.dictionaries(st.sampled_from(["ok", "data", "error", "id"]), VALUES),
    st.sampled_from([PLAIN, JSON, CSV, IDS]),
    st.none() | st.integers(1, 40),
)
def test_any_frame_is_shown(frame: dict[str, object], typed: Typed, cells: int | None) -> None:
    assert render(frame, typed, Look(cells)).status in (DONE, REFUSED, UNANSWERED)

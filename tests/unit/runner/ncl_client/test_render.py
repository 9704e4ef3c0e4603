import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.ncl_client.render import DONE, REFUSED, Output, render

NO_ANSWER = "error (transport-error): the answer is neither data nor an error"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (None, ""),
        ("plain\ntext", "plain\ntext"),
        ([], "(no rows)"),
        ({"a": 1}, '{\n  "a": 1\n}'),
        ([1, 2], "[\n  1,\n  2\n]"),
        ([{"a": [1]}], '[\n  {\n    "a": [\n      1\n    ]\n  }\n]'),
        ([{"id": "x", "on": True}, {"id": None, "more": 1}], "id  on\n--  ----\nx   true\n"),
        ([{"a": "1\n2", "b": 2.5}], "a    b\n---  ---\n1 2  2.5"),
    ],
)
def test_data_is_shown_by_its_shape(data: object, text: str) -> None:
    assert render({"ok": True, "data": data}, as_json=False) == Output(text)


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        ({"ok": False, "error": {"code": "forbidden", "message": "no"}}, "error (forbidden): no"),
        ({"ok": False}, NO_ANSWER),
        ({"ok": "true", "data": 1}, NO_ANSWER),
        ({}, NO_ANSWER),
    ],
)
def test_refusal_is_one_line_for_standard_error(frame: dict[str, object], text: str) -> None:
    assert render(frame, as_json=False) == Output(text, REFUSED, to_stderr=True)


@pytest.mark.parametrize(("done", "status"), [(True, DONE), (False, REFUSED)])
def test_json_is_the_whole_frame(done: bool, status: int) -> None:
    frame = {"id": "1", "ok": done, "data": "ä"}

    output = render(frame, as_json=True)

    assert (output.status, output.to_stderr) == (status, False)
    assert json.loads(output.text) == frame
    assert "ä" in output.text


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["ok", "data", "error", "id"]), VALUES), st.booleans())
def test_any_frame_is_shown(frame: dict[str, object], as_json: bool) -> None:
    assert render(frame, as_json=as_json).status in (DONE, REFUSED)

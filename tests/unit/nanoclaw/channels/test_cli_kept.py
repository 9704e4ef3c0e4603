from datetime import UTC, datetime, timedelta
from pathlib import Path

from contract.clock import to_text
from nanoclaw.channels.cli.kept import (
    KEPT_FOR,
    MAX_KEPT,
    REWRITE_ABOVE_LINES,
    KeptReplies,
    KeptReply,
)
from nanoclaw.channels.cli.lines import FileRef, Reply
from nanoclaw.channels.cli.questions import MAX_OPEN, Questions
from nanoclaw.channels.part import Question

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


def item(name: str, *, client: str | None = None, at: datetime = NOW, text: str = "") -> KeptReply:
    reply = Reply(text or name, id=name, done=True, files=(FileRef("a", "/a", 1),))
    return KeptReply.of(reply, client, to_text(at))


def ids(kept: KeptReplies, now: datetime = NOW) -> list[str]:
    return [item.id for item in kept.all(now)]


def test_what_is_kept_comes_back_after_a_restart(tmp_path: Path) -> None:
    kept = KeptReplies(tmp_path)
    kept.add([item("r1", client="window"), item("r2")])
    kept.remove(["r2"])
    kept.close()

    again = KeptReplies(tmp_path)

    (found,) = again.all(NOW)
    assert (found.id, found.client) == ("r1", "window")
    assert found.reply() == Reply("r1", id="r1", done=True, files=(FileRef("a", "/a", 1),))
    again.close()


def test_the_same_reply_is_kept_once(tmp_path: Path) -> None:
    kept = KeptReplies(tmp_path)
    kept.add([item("r1")])
    kept.add([item("r1"), item("r2")])

    assert ids(kept) == ["r1", "r2"]
    assert not kept.remove(["unknown"])
    assert kept.remove(["r1"])
    kept.close()


def test_the_newest_stay_when_there_are_too_many(tmp_path: Path) -> None:
    kept = KeptReplies(tmp_path)
    kept.add([item(f"r{number}") for number in range(MAX_KEPT + 3)])

    assert ids(kept) == [f"r{number}" for number in range(3, MAX_KEPT + 3)]
    kept.close()


def test_the_total_length_is_bounded(tmp_path: Path) -> None:
    kept = KeptReplies(tmp_path)
    kept.add([item(f"r{number}", text="x" * 6_000_000) for number in range(4)])

    assert ids(kept) == ["r2", "r3"]
    kept.close()


def test_after_a_day_nothing_is_left(tmp_path: Path) -> None:
    kept = KeptReplies(tmp_path)
    kept.add([item("old", at=NOW - KEPT_FOR - timedelta(seconds=1)), item("new")])

    assert ids(kept) == ["new"]
    kept.close()


def test_a_torn_or_foreign_line_does_no_harm(tmp_path: Path) -> None:
    kept = KeptReplies(tmp_path)
    kept.add([item("r1")])
    kept.close()
    with (tmp_path / "kept.jsonl").open("ab") as file:
        file.write(b'\xff\n{"other":1}\n{"id":"r2","te')

    again = KeptReplies(tmp_path)

    assert ids(again) == ["r1"]
    again.close()


def test_the_file_does_not_grow_without_end(tmp_path: Path) -> None:
    kept = KeptReplies(tmp_path)
    for number in range(REWRITE_ABOVE_LINES):
        kept.add([item(f"r{number}")])
        kept.remove([f"r{number}"])
    kept.add([item("last")])

    assert len((tmp_path / "kept.jsonl").read_bytes().splitlines()) < REWRITE_ABOVE_LINES
    assert ids(kept) == ["last"]
    kept.close()


def question(name: str) -> Question:
    return Question(question_id=name, title="T", options=("Yes", "2", "No"))


def test_a_number_or_a_label_answers_the_one_open_question(tmp_path: Path) -> None:
    questions = Questions(tmp_path)
    questions.shown(question("q1"), "r1", "local", NOW)

    by_number = questions.match(" 3 ", NOW)
    by_label = questions.match("no", NOW)

    assert by_number is not None
    assert (by_number.value, by_number.label) == ("2", "No")
    assert by_label == by_number
    assert questions.match("4", NOW) is None
    assert questions.match("no way", NOW) is None


def test_two_open_questions_leave_numbers_alone(tmp_path: Path) -> None:
    questions = Questions(tmp_path)
    questions.shown(question("q1"), "r1", "local", NOW)
    questions.shown(question("q2"), "r2", "local", NOW)

    assert questions.match("1", NOW) is None
    questions.close("q2")
    assert questions.match("1", NOW) is not None


def test_open_questions_survive_a_restart_and_end_after_a_day(tmp_path: Path) -> None:
    Questions(tmp_path).shown(question("q1"), "r1", "local", NOW)

    again = Questions(tmp_path)

    assert again.match("1", NOW) is not None
    assert again.match("1", NOW + timedelta(hours=25)) is None


def test_the_same_question_shown_twice_is_one_and_their_number_is_bounded(tmp_path: Path) -> None:
    questions = Questions(tmp_path)
    for number in range(MAX_OPEN + 5):
        questions.shown(question(f"q{number}"), "r", "local", NOW)
        questions.shown(question(f"q{number}"), "r", "local", NOW)
    for number in range(5, MAX_OPEN + 4):
        questions.close(f"q{number}")

    assert questions.match("1", NOW) is not None


def test_a_broken_question_file_means_no_question(tmp_path: Path) -> None:
    (tmp_path / "questions.json").write_text("{")

    assert Questions(tmp_path).match("1", NOW) is None

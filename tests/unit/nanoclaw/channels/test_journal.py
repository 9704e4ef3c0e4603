import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nanoclaw.channels import journal as journal_module
from nanoclaw.channels.journal import KEPT_FINISHED, KEPT_FOR, SendJournal
from nanoclaw.channels.part import Part, PartFile, Question
from nanoclaw.errors import ChannelError
from nanoclaw.events import DeliveryKnowledge, DeliveryKnown, FailureClass

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
ONE = (Part(key="k1", text="one"),)
TWO = (Part(key="k1", text="one"), Part(key="k2", text="two"))


def reopened(journal: SendJournal, folder: Path, now: datetime = NOW) -> SendJournal:
    journal.close()
    return SendJournal(folder, now)


def test_nothing_is_known_of_a_delivery_that_never_came(tmp_path: Path) -> None:
    journal = SendJournal(tmp_path, NOW)

    assert journal.known("d1") == DeliveryKnown(DeliveryKnowledge.UNKNOWN)
    assert journal.open_send("d1") is None
    assert journal.finished_ids("d1") is None
    journal.close()


def test_the_recorded_parts_come_back_unchanged(tmp_path: Path) -> None:
    part = Part(
        key="k1",
        text="Grüße\n\ud800",
        files=(PartFile(name="a", spool="s", size=3, sha256="00"),),
        question=Question(question_id="q", title="T", options=("Yes", "No")),
        reply_to="m1",
        completes=True,
    )
    journal = SendJournal(tmp_path, NOW)
    journal.plan("d1", (part,), NOW)

    journal = reopened(journal, tmp_path)

    send = journal.open_send("d1")
    assert send is not None
    assert send.parts[0].text == "Grüße\n\ufffd"
    assert (send.parts[0].files, send.parts[0].question) == (part.files, part.question)
    assert journal.known("d1").state is DeliveryKnowledge.PLANNED
    journal.close()


def test_a_finished_delivery_keeps_its_ids_across_restarts(tmp_path: Path) -> None:
    journal = SendJournal(tmp_path, NOW)
    journal.plan("d1", TWO, NOW)
    assert not journal.sent("d1", 0, "p1", NOW)
    assert journal.sent("d1", 1, None, NOW)

    journal = reopened(journal, tmp_path)

    assert journal.finished_ids("d1") == ("p1",)
    assert journal.known("d1") == DeliveryKnown(DeliveryKnowledge.SENT, ("p1",))
    journal.close()


def test_progress_inside_a_delivery_survives(tmp_path: Path) -> None:
    journal = SendJournal(tmp_path, NOW)
    journal.plan("d1", TWO, NOW)
    journal.tried("d1", 0)
    journal.sent("d1", 0, "p1", NOW)
    journal.tried("d1", 1)

    journal = reopened(journal, tmp_path)

    send = journal.open_send("d1")
    assert send is not None
    assert (send.ids, send.tried) == (["p1"], {1})
    journal.close()


@pytest.mark.parametrize(
    ("failure", "doubtful"),
    [(FailureClass.TRANSIENT, False), (FailureClass.UNCERTAIN, True)],
)
def test_only_an_uncertain_failure_leaves_a_part_doubtful(
    tmp_path: Path, failure: FailureClass, doubtful: bool
) -> None:
    journal = SendJournal(tmp_path, NOW)
    journal.plan("d1", ONE, NOW)
    journal.tried("d1", 0)
    journal.failed("d1", 0, failure, "why")

    journal = reopened(journal, tmp_path)

    send = journal.open_send("d1")
    assert send is not None
    assert (0 in send.tried) is doubtful
    assert journal.known("d1") == DeliveryKnown(DeliveryKnowledge.FAILED, (), f"{failure}: why")
    journal.close()


def test_a_second_plan_replaces_what_is_not_sent_yet(tmp_path: Path) -> None:
    journal = SendJournal(tmp_path, NOW)
    journal.plan("d1", TWO, NOW)
    journal.sent("d1", 0, "p1", NOW)
    journal.plan("d1", (TWO[0], Part(key="k3", text="tw"), Part(key="k4", text="o")), NOW)

    journal = reopened(journal, tmp_path)

    send = journal.open_send("d1")
    assert send is not None
    assert (len(send.parts), send.ids) == (3, ["p1"])
    journal.close()


def test_a_torn_last_line_is_cut_off(tmp_path: Path) -> None:
    journal = SendJournal(tmp_path, NOW)
    journal.plan("d1", ONE, NOW)
    journal.close()
    with (tmp_path / "sends.jsonl").open("ab") as file:
        file.write(b'{"e":"done","d":"d1","at":"2026')

    journal = SendJournal(tmp_path, NOW)
    journal.plan("d2", ONE, NOW)
    journal = reopened(journal, tmp_path)

    assert journal.known("d1").state is DeliveryKnowledge.PLANNED
    assert journal.known("d2").state is DeliveryKnowledge.PLANNED
    journal.close()


def test_lines_that_make_no_sense_are_skipped(tmp_path: Path) -> None:
    lines = [
        b"no json",
        b"\xff\xfe",
        b'{"e":"later"}',
        b'{"e":"done","d":"d0","at":"when?","ids":["p0"]}',
        b'{"e":"sent","d":"unknown","p":0}',
        b'{"e":"plan","d":"d1","at":"2026-11-21T08:00:00.000Z","parts":[{"key":"k","text":"a"}]}',
    ]
    (tmp_path / "sends.jsonl").write_bytes(b"\n".join(lines) + b"\n")

    journal = SendJournal(tmp_path, NOW)

    assert journal.known("d1").state is DeliveryKnowledge.PLANNED
    journal.close()


def test_old_and_many_entries_are_forgotten(tmp_path: Path) -> None:
    journal = SendJournal(tmp_path, NOW)
    for number in range(KEPT_FINISHED + 5):
        journal.plan(f"d{number}", ONE, NOW)
        journal.sent(f"d{number}", 0, None, NOW)
    journal.commit()
    journal.compact(NOW)
    assert journal.finished_ids("d4") is None
    assert journal.finished_ids("d5") == ()
    journal.plan("open", ONE, NOW)

    journal = reopened(journal, tmp_path, NOW + KEPT_FOR + timedelta(seconds=1))

    assert journal.finished_ids("d5") is None
    assert journal.open_send("open") is None
    journal.close()


def test_compaction_loses_nothing_and_shrinks_the_file(tmp_path: Path) -> None:
    journal = SendJournal(tmp_path, NOW)
    for number in range(50):
        journal.plan(f"d{number}", TWO, NOW)
        journal.sent(f"d{number}", 0, "p", NOW)
    for number in range(49):
        journal.sent(f"d{number}", 1, "q", NOW)
    journal.tried("d49", 1)
    journal.commit()
    before = (tmp_path / "sends.jsonl").stat().st_size

    journal.compact(NOW)
    journal.plan("after", ONE, NOW)
    journal = reopened(journal, tmp_path)

    assert (tmp_path / "sends.jsonl").stat().st_size < before / 2
    assert journal.finished_ids("d48") == ("p", "q")
    send = journal.open_send("d49")
    assert send is not None
    assert (send.ids, send.tried) == (["p"], {1})
    assert journal.open_send("after") is not None
    journal.close()


def test_one_commit_writes_all_lines(tmp_path: Path) -> None:
    journal = SendJournal(tmp_path, NOW)
    journal.plan("d1", ONE, NOW)
    journal.plan("d2", ONE, NOW)
    assert (tmp_path / "sends.jsonl").stat().st_size == 0

    journal.commit()

    assert len((tmp_path / "sends.jsonl").read_bytes().splitlines()) == 2
    journal.close()


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = SendJournal(tmp_path, NOW)
    journal.plan("d1", ONE, NOW)
    journal.commit()
    size = (tmp_path / "sends.jsonl").stat().st_size
    journal.plan("d2", ONE, NOW)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", full)
    with pytest.raises(ChannelError, match="No space left"):
        journal.commit()

    assert (tmp_path / "sends.jsonl").stat().st_size == size


def test_the_file_is_private(tmp_path: Path) -> None:
    SendJournal(tmp_path, NOW).close()

    assert (tmp_path / "sends.jsonl").stat().st_mode & 0o777 == 0o600
    assert journal_module.COMPACT_ABOVE_LINES > KEPT_FINISHED

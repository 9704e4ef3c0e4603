from contract.address import Destination, DestinationType
from runner.turn.notes import MAX_NOTES, PendingNotes


def named(*names: str) -> tuple[Destination, ...]:
    return tuple(Destination(n, n, DestinationType.CHANNEL, "cli", n) for n in names)


def test_first_prompt_takes_the_destinations_as_told() -> None:
    notes = PendingNotes()

    assert notes.peek(named("a")) == ()


def test_changed_destinations_are_told_until_the_provider_has_the_note() -> None:
    notes = PendingNotes()
    notes.told((), named("a"))

    first = notes.peek(named("a", "b"))
    again = notes.peek(named("a", "b"))
    notes.told(again, named("a", "b"))

    assert first == again
    assert "`a`, `b`" in first[0]
    assert notes.peek(named("a", "b")) == ()


def test_note_is_told_once_and_one_that_came_meanwhile_stays() -> None:
    notes = PendingNotes()
    notes.add("one")
    due = notes.peek(())
    notes.add("two")

    notes.told(due, ())

    assert notes.peek(()) == ("two",)


def test_notes_are_bounded_and_the_newest_count() -> None:
    notes = PendingNotes()
    for number in range(MAX_NOTES + 5):
        notes.add(str(number))

    assert notes.peek(()) == tuple(str(n) for n in range(5, MAX_NOTES + 5))

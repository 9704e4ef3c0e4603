from contextlib import suppress

from helpers.onecli_scene import APPROVE, Scene
from helpers.waiting import wait_until

from nanoclaw.events import ActionOutcome


def test_killed_when_the_row_is_written_it_asks_anew_after_the_restart(scene: Scene) -> None:
    scene.kill.arm("vault.credential_asked", "self")
    scene.vault.start()
    request_id = scene.onecli.hold(scene.group.id)
    scene.vault.wait_for_death()
    (first,) = scene.rows()

    scene.vault.start()
    wait_until(lambda: first.approval_id not in [row.approval_id for row in scene.rows()])
    second = scene.card(request_id)
    assert scene.press(first.approval_id, APPROVE).outcome is ActionOutcome.EXPIRED
    scene.press(second.approval_id, APPROVE)

    assert scene.onecli.wait_for_decision(request_id) == "approve"
    scene.wait_for_rows(0)


def test_killed_when_the_gateway_was_told_the_row_goes_and_nobody_is_asked_twice(
    scene: Scene,
) -> None:
    scene.kill.arm("vault.credential_told", "self")
    scene.vault.start()
    request_id = scene.onecli.hold(scene.group.id)
    scene.press(scene.card(request_id).approval_id, APPROVE)
    scene.vault.wait_for_death()

    scene.vault.start()
    scene.wait_for_rows(0)

    assert scene.onecli.decision(request_id) == "approve"
    assert scene.audit() == ["credential.requested", "credential.decided"]


def test_decision_of_a_person_survives_a_killed_vault(scene: Scene) -> None:
    scene.vault.start()
    request_id = scene.onecli.hold(scene.group.id)
    card = scene.card(request_id)
    scene.vault.kill()
    scene.press(card.approval_id, APPROVE)
    assert scene.onecli.decision(request_id) is None

    scene.vault.start()

    assert scene.onecli.wait_for_decision(request_id) == "approve"
    scene.wait_for_rows(0)


def test_killed_when_the_old_rows_are_ended_it_begins_as_well(scene: Scene) -> None:
    scene.vault.start()
    request_id = scene.onecli.hold(scene.group.id)
    scene.card(request_id)
    scene.vault.kill()
    scene.kill.arm("vault.credentials_ended", "self")
    scene.onecli.decide(request_id, "deny")

    with suppress(AssertionError):  # it dies before it can say that it is ready
        scene.vault.start()
    scene.vault.wait_for_death()
    assert scene.rows() == []
    scene.vault.start()
    later = scene.onecli.hold(scene.group.id)

    assert scene.card(later).request_id == later


def test_stop_forgets_who_waits_and_ends_in_order(scene: Scene) -> None:
    scene.vault.start()
    request_id = scene.onecli.hold(scene.group.id)
    scene.card(request_id)

    assert scene.vault.stop() == 0

    assert len(scene.rows()) == 1
    assert scene.onecli.decision(request_id) is None

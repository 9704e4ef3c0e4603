"""An outgoing message that carries one of the owner's secrets does not leave."""

import base64
import json

from helpers.delivery_room import DeliveryRoom

from contract.clock import utc_now
from contract.content import ChatOut
from nanoclaw.config import SecretsBackend
from nanoclaw.secret_store.store import SecretStore

KEY = "sk-ant-api03-Zq8wX2mN5pLr7TvB9cDf3GhJ6k"


def keep(room: DeliveryRoom) -> None:
    store = SecretStore(room.config.paths, SecretsBackend.FILES)
    store.put("anthropic-api-key", KEY, None, utc_now())


def failures(room: DeliveryRoom) -> list[str]:
    return [
        row[0] for row in room.conn.execute("SELECT failure FROM deliveries WHERE failure <> ''")
    ]


def audit(room: DeliveryRoom) -> list[tuple[str, str]]:
    rows = room.conn.execute("SELECT kind, subject FROM audit WHERE kind LIKE 'leak%'")
    return [(row[0], row[1]) for row in rows]


def test_message_with_the_key_is_stopped_and_everybody_told(delivery: DeliveryRoom) -> None:
    keep(delivery)
    delivery.start_worker()
    delivery.start_loop()
    delivery.write([delivery.row("out-1", ChatOut(text=f"here: {KEY}"))])
    delivery.spin(lambda: delivery.states() == ["failed", "sent"])
    delivery.spin(delivery.notes)

    assert failures(delivery) == ["leak"]
    assert audit(delivery) == [("leak.stopped", "anthropic-api-key")]
    (text,) = delivery.worker.texts
    assert "contains a secret of this installation" in text
    said = json.dumps([frame.content for frame in delivery.worker.frames]) + str(delivery.notes())
    assert KEY not in said
    (notice,) = [row[0] for row in delivery.conn.execute("SELECT text FROM owner_notices")]
    assert "nanoclaw secrets rotate anthropic-api-key" in notice
    assert KEY not in notice


def test_what_comes_behind_a_stopped_message_is_sent(delivery: DeliveryRoom) -> None:
    keep(delivery)
    delivery.start_worker()
    delivery.start_loop()
    leak = base64.b64encode(KEY.encode()).decode()
    delivery.say("before", leak, "behind")
    delivery.spin(lambda: {"before", "behind"} <= set(delivery.worker.texts))

    assert not any(leak in text for text in delivery.worker.texts)


def test_secret_that_was_set_while_a_message_waited_stops_it(delivery: DeliveryRoom) -> None:
    delivery.start_loop()
    delivery.say(KEY)
    delivery.spin(lambda: delivery.states() == ["queued"])

    keep(delivery)
    delivery.start_worker()
    delivery.spin(lambda: delivery.states()[0] == "failed")

    assert failures(delivery) == ["leak"]


def test_file_with_the_key_is_stopped(delivery: DeliveryRoom) -> None:
    keep(delivery)
    delivery.start_worker()
    delivery.start_loop()
    delivery.put_file("out-1", "notes.txt", b"x" * 3_000_000 + KEY.encode())
    delivery.write([delivery.row("out-1", ChatOut(text="see", files=("notes.txt",)))])
    delivery.spin(lambda: delivery.states() == ["failed", "sent"])

    assert failures(delivery) == ["leak"]
    assert not any(frame.files for frame in delivery.worker.frames)


def test_file_whose_name_is_the_key_is_stopped(delivery: DeliveryRoom) -> None:
    keep(delivery)
    delivery.start_worker()
    delivery.start_loop()
    delivery.put_file("out-1", KEY, b"nothing")
    delivery.write([delivery.row("out-1", ChatOut(text="see", files=(KEY,)))])
    delivery.spin(lambda: delivery.states()[:1] == ["failed"])

    assert failures(delivery) == ["leak"]

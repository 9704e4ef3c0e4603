import pytest

from nanoclaw.permissions.identity import kind_of, user_id_of


@pytest.mark.parametrize(
    ("user_id", "kind"),
    [("telegram:7", "telegram"), ("29:1AbC", "teams"), ("telegram:29:7", "telegram")],
)
def test_the_channel_of_a_user_is_read_from_the_id(user_id: str, kind: str) -> None:
    assert kind_of(user_id) == kind
    assert user_id_of(kind, user_id) == user_id

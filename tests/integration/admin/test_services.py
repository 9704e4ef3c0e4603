"""``ncl services``: which host gets which secret."""

import json

import pytest
from helpers.admin_desk import NOW, AdminDesk

from nanoclaw.bell import VAULT
from nanoclaw.db import services
from nanoclaw.secret_store.entries import Kind
from nanoclaw.secret_store.store import open_store

VALUE = "ghp-marker-5f4e3d2c1b0a"


@pytest.fixture(autouse=True)
def secret(desk: AdminDesk) -> None:
    for name in ("github-token", "weather-key"):
        open_store(desk.config).put(name, VALUE, Kind.AUTH_TOKEN, NOW)


def test_preset_brings_hosts_and_header(desk: AdminDesk) -> None:
    made = desk.get("services add github", preset="github", secret="github-token")

    assert made["hosts"] == "api.github.com,uploads.github.com"
    assert (made["header"], made["template"]) == ("authorization", "Bearer {secret}")
    assert desk.get("services list") == [desk.get("services get github")]
    assert VALUE not in json.dumps(made)


def test_service_of_ones_own_has_every_part(desk: AdminDesk) -> None:
    made = desk.get(
        "services add weather", hosts="API.Weather.example, *.weather.example",
        header="X-Api-Key", secret="weather-key", ports="443,8443", methods="get,post",
        paths="/v1", groups=desk.group_id,
    )  # fmt: skip

    assert made["hosts"] == "*.weather.example,api.weather.example"
    assert (made["header"], made["template"]) == ("x-api-key", "{secret}")
    assert (made["ports"], made["methods"], made["paths"]) == ("443,8443", "GET,POST", "/v1")
    assert made["groups"] == desk.group_id


def test_basic_authentication_has_a_user(desk: AdminDesk) -> None:
    made = desk.get("services add git", preset="github-git", secret="github-token")
    assert (made["kind"], made["template"]) == ("basic", "x-access-token:{secret}")

    changed = desk.get("services update git", user="me")
    assert changed["template"] == "me:{secret}"

    changed = desk.get("services update git", header="X-Token")
    assert (changed["kind"], changed["header"], changed["template"]) == (
        "header", "x-token", "{secret}",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"secret": "nothing"}, "nanoclaw secrets set nothing"),
        ({"secret": "sk-Real/Secret"}, "--secret is the name of a secret"),
        ({"hosts": "*.com"}, "name the host"),
        ({"hosts": "https://a.example"}, "is no address"),
        ({"header": "Host"}, "cannot go there"),
        ({"header": "a b"}, "no name of a header"),
        ({"template": "Bearer"}, "no template"),
        ({"template": "a\r\nb: {secret}"}, "no line breaks"),
        ({"user": "a", "template": "{secret}"}, "leave out"),
        ({"ports": "0"}, "no port"),
        ({"ports": ","}, "needs a port"),
        ({"methods": "BREW"}, "no method"),
        ({"paths": "/a/../b"}, "no beginning of a path"),
    ],
)
def test_bad_part_is_refused_with_the_next_step(
    desk: AdminDesk, given: dict[str, str | bool], words: str
) -> None:
    usual: dict[str, str | bool] = {"hosts": "api.example.com", "secret": "github-token"}

    code, text = desk.fail("services add test", **{**usual, **given})

    assert code == "invalid-args"
    assert words in text
    assert "Real" not in text
    assert desk.count("services") == 0


def test_service_without_a_host_is_none(desk: AdminDesk) -> None:
    assert "needs a host" in desk.fail("services add test", secret="github-token")[1]


def test_group_that_is_not_there_is_named(desk: AdminDesk) -> None:
    code, text = desk.fail(
        "services add test", hosts="a.example", secret="github-token", groups="ag-7"
    )

    assert (code, "ag-7" in text) == ("not-found", True)


def test_update_changes_what_is_given_and_nothing_else(desk: AdminDesk) -> None:
    before = desk.get("services add github", preset="github", secret="github-token", paths="/repos")

    after = desk.get("services update github", secret="weather-key", groups=desk.group_id)

    changed = {key for key in before if before[key] != after[key]}
    assert changed <= {"secret", "groups", "updated_at"}
    assert desk.get("services update github", groups="all", **{"null": "paths"})["paths"] == ""
    assert "nothing to update" in desk.fail("services update github")[1]


def test_same_name_twice_is_refused(desk: AdminDesk) -> None:
    desk.get("services add github", preset="github", secret="github-token")

    assert (
        "services update github"
        in desk.fail("services add github", preset="github", secret="github-token")[1]
    )


def test_removed_service_is_gone_at_once(desk: AdminDesk) -> None:
    desk.get("services add github", preset="github", secret="github-token")

    assert desk.get("services remove github") == {"removed": "github"}

    assert services.for_host(desk.conn, desk.group_id, "api.github.com", 443) is None
    assert desk.fail("services get github")[0] == "not-found"


def test_adding_wakes_the_vault_and_stands_in_the_audit(desk: AdminDesk) -> None:
    desk.get("services add github", preset="github", secret="github-token")

    assert desk.has_rung(VAULT)
    (row,) = [row for row in desk.audited() if row.kind == "ncl.services-add"]
    assert (row.subject, VALUE in row.detail) == ("github", False)


def test_agent_of_its_group_neither_sees_nor_makes_services(desk: AdminDesk) -> None:
    assert desk.fail("services list", desk.agent())[0] == "forbidden"

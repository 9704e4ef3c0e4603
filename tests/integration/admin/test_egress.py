"""``ncl egress`` and the egress settings of agent groups."""

import pytest
from helpers.admin_desk import NOW, AdminDesk

from nanoclaw.approvals import egress
from nanoclaw.bell import DELIVERY
from nanoclaw.db import egress_asks, egress_rules, roles, sessions
from nanoclaw.db.connection import transaction
from nanoclaw.model import CliScope, Role, RoleGrant


def allow(desk: AdminDesk, rule: str, **args: str | bool) -> str:
    return str(desk.get("egress allow", rule=rule, **args)["rule_id"])


def test_a_rule_is_kept_in_its_one_spelling_and_listed(desk: AdminDesk) -> None:
    made = desk.get(
        "egress allow", rule="POST,GET API.example.com/v1", group=desk.group_id, note="weather"
    )

    (row,) = desk.get("egress list")
    assert row["rule"] == made["rule"] == "GET,POST api.example.com/v1"
    assert (row["effect"], row["note"], row["created_by"]) == ("allow", "weather", "host")
    assert desk.get(f"egress get {made['rule_id']}") == row


def test_the_contrary_replaces_what_was_said_before(desk: AdminDesk) -> None:
    allow(desk, "example.com", everywhere=True)
    desk.get("egress deny", rule="example.com", everywhere=True)

    assert [row["effect"] for row in desk.get("egress list")] == ["deny"]


@pytest.mark.parametrize(
    ("verb", "rule", "words"),
    [
        ("allow", "*.com", "name the host"),
        ("allow", "https://example.com", "without https://"),
        ("allow", "10.0.0.1", "write: 10.0.0.1 local"),
        ("allow", "169.254.169.254 local", "never reach"),
        ("deny", "nas local", "leave it out"),
    ],
)
def test_a_bad_rule_is_refused_with_the_next_step(
    desk: AdminDesk, verb: str, rule: str, words: str
) -> None:
    code, text = desk.fail(f"egress {verb}", rule=rule, everywhere=True)

    assert code == "invalid-args"
    assert words in text
    assert desk.count("egress_rules") == 0


def test_whose_rule_it_is_has_to_be_said(desk: AdminDesk) -> None:
    both: dict[str, str | bool] = {"group": desk.group_id, "everywhere": True}
    neither: dict[str, str | bool] = {}
    for given in (neither, both):
        code, text = desk.fail("egress allow", rule="example.com", **given)
        assert (code, "either --group" in text) == ("invalid-args", True)
    assert desk.fail("egress allow", rule="example.com", group="ag-7")[0] == "not-found"


def test_a_rule_is_removed_by_its_id(desk: AdminDesk) -> None:
    rule_id = allow(desk, "example.com", everywhere=True)

    assert desk.get(f"egress remove {rule_id}")["removed"] == rule_id
    assert desk.fail(f"egress remove {rule_id}")[0] == "not-found"


def test_test_explains_a_decision(desk: AdminDesk) -> None:
    group = desk.group_id
    allow(desk, "GET api.example.com/v1", group=group)
    allow(desk, "*.example.org", everywhere=True)
    desk.get("egress deny", rule="bad.example.org", everywhere=True)
    audited = desk.count("audit")

    def test(url: str, **more: str) -> tuple[object, object]:
        found = desk.get("egress test", url=url, group=group, **more)
        return found["decision"], found["looked_into"]

    assert test("https://api.example.com/v1/x") == ("allow", True)
    assert test("https://api.example.com/v1/x", method="post") == ("deny", True)
    assert test("a.example.org") == ("allow", False)
    assert test("http://bad.example.org") == ("deny", True)
    assert test("https://example.net:8443/") == ("ask", False)
    assert test("http://192.168.1.1/") == ("deny", True)
    assert desk.count("audit") == audited


@pytest.mark.parametrize("url", ["ftp://example.com", "https://", "https://h:99999", "a b", "[::1"])
def test_test_refuses_what_is_no_address(desk: AdminDesk, url: str) -> None:
    assert desk.fail("egress test", url=url, group=desk.group_id)[0] == "invalid-args"


def test_an_agent_sees_its_own_rules_and_changes_none_without_a_person(desk: AdminDesk) -> None:
    desk.add_session()
    other = desk.add_group()
    theirs = allow(desk, "theirs.example.com", group=other)
    ours = allow(desk, "ours.example.com", group=desk.group_id)
    agent = desk.agent()

    assert [row["rule"] for row in desk.get("egress list", agent)] == ["ours.example.com"]
    assert desk.fail(f"egress get {theirs}", agent)[0] == "not-found"
    assert desk.get("egress test", agent, url="https://ours.example.com")["decision"] == "allow"
    assert desk.fail("egress test", agent, url="https://a.b.c", group=other)[0] == "forbidden"
    assert desk.fail(f"egress remove {theirs}", agent)[0] == "not-found"
    for verb, args in (
        ("allow", {"rule": "example.com"}),
        ("deny", {"rule": "example.com"}),
        (f"remove {ours}", {}),
    ):
        code, _ = desk.fail(f"egress {verb}", agent, **args)
        assert code == "approval-pending", verb
    for setting in ({"egress_mode": "open"}, {"egress_allow": '["example.com"]'}):
        for scope in (CliScope.GROUP, CliScope.GLOBAL):
            code, _ = desk.fail(
                f"groups config update {desk.group_id}", desk.agent(scope), **setting
            )
            assert code == "forbidden"
    assert desk.count("egress_rules") == 2


def test_settings_of_a_group_take_rules_in_their_one_spelling(desk: AdminDesk) -> None:
    update = f"groups config update {desk.group_id}"

    row = desk.get(update, egress_allow='["PyPI.org", "pypi.org", "HEAD,GET a.b.org/x"]')

    assert row["egress_allow"] == ["pypi.org", "GET,HEAD a.b.org/x"]
    for bad in ('["*"]', '["10.0.0.1"]', "[7]", '{"a": 1}', "[" + ",".join(['"a.b"'] * 201) + "]"):
        assert desk.fail(update, egress_allow=bad)[0] == "invalid-args"
    assert desk.fail(update, egress_mode="wide")[0] == "invalid-args"


def ask(desk: AdminDesk) -> str:
    """A question of the first agent that is open now."""
    desk.add_session()
    roles.grant(desk.conn, RoleGrant(desk.add_user(), Role.OWNER, NOW))
    session = sessions.get(desk.conn, "sess-1")
    assert session is not None
    unknown = egress.UnknownHost(desk.group_id, session, "api.example.com", 443)
    with transaction(desk.conn):
        assert egress.request(desk.conn, unknown, NOW) is egress.Asked.NEW
    (question,) = desk.get("egress questions")
    assert (question["host"], question["port"]) == ("api.example.com", 443)
    return str(question["ask_id"])


def test_a_question_is_answered_at_the_hosts_own_socket(desk: AdminDesk) -> None:
    ask_id = ask(desk)
    answer = f"egress answer {ask_id}"

    assert desk.fail(answer, desk.agent(CliScope.GLOBAL), option="always")[0] == "forbidden"
    assert desk.fail(answer, option="maybe")[0] == "invalid-args"
    assert desk.get(answer, option="always")["option"] == "Allowed from now on"

    assert [row["rule"] for row in desk.get("egress list")] == ["api.example.com:443"]
    assert desk.fail(answer, option="never")[0] == "not-found"
    assert desk.get("egress questions", desk.agent()) == []


def test_a_rule_answers_the_question_that_is_open(desk: AdminDesk) -> None:
    ask(desk)

    allow(desk, "*.example.com", group=desk.group_id)

    assert desk.get("egress questions") == []
    assert egress_asks.list_open(desk.conn, None, 10) == []
    assert desk.has_rung(DELIVERY)
    assert egress_rules.count_of(desk.conn, desk.group_id) == 1

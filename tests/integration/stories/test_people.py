"""Strangers, new chats and those who decide about them, through the whole host."""

from helpers.town import Town, TownChannel

from nanoclaw.events import ActionOutcome, Outcome
from nanoclaw.model import EngageMode, IgnoredMessagePolicy, SenderScope, UnknownSenderPolicy

OWNER_CHAT = "dm-owner"


def test_t22_plain_message_in_an_unknown_chat_leaves_nothing_but_its_log_entry(
    town: Town, telegram: TownChannel
) -> None:
    town.add_agent("Pip")
    before = len(town.rows("SELECT * FROM messaging_groups"))

    committed = telegram.say("garden", "hello all", "5", group=True)

    assert committed.outcome is Outcome.IGNORED
    assert len(town.rows("SELECT * FROM messaging_groups")) == before
    assert not town.rows("SELECT * FROM users WHERE id = 'telegram:5'")


def test_t33_mention_in_an_unknown_group_is_answered_after_the_owner_connects_it(
    town: Town, telegram: TownChannel
) -> None:
    committed = telegram.say("garden", "Pip, what first?", "5", mention=True, group=True)
    assert committed.outcome is Outcome.HELD

    card = telegram.wait_for_card(OWNER_CHAT)
    assert card.part.question is not None
    stranger = telegram.press(card, 0, "stranger")
    assert stranger.outcome is ActionOutcome.NOT_ALLOWED
    assert telegram.press(card, 0, "owner").outcome is ActionOutcome.ACCEPTED

    telegram.wait_for("garden", "Pip, what first?")
    [wiring] = town.rows(
        "SELECT * FROM messaging_group_agents JOIN messaging_groups AS chat"
        " ON chat.id = messaging_group_id WHERE chat.platform_id = 'garden'"
    )
    assert wiring["engage_mode"] == EngageMode.MENTION_STICKY
    assert wiring["sender_scope"] == SenderScope.KNOWN
    assert wiring["ignored_message_policy"] == IgnoredMessagePolicy.ACCUMULATE
    assert telegram.press(card, 0, "owner").outcome is ActionOutcome.ALREADY_ANSWERED


def test_t33_refused_chat_stays_silent(town: Town, telegram: TownChannel) -> None:
    telegram.say("spam", "buy now", "6", mention=True, group=True)
    card = telegram.wait_for_card(OWNER_CHAT)
    assert card.part.question is not None
    last = len(card.part.question.options) - 1

    assert telegram.press(card, last, "owner").outcome is ActionOutcome.ACCEPTED
    later = telegram.say("spam", "buy again", "6", mention=True, group=True)

    assert later.outcome is Outcome.IGNORED
    assert town.rows("SELECT denied_at FROM messaging_groups WHERE platform_id = 'spam'")[0][
        "denied_at"
    ]
    assert not telegram.texts("spam")


def test_t32_stranger_is_answered_once_the_owner_allows_it(
    town: Town, telegram: TownChannel
) -> None:
    pip = town.add_agent("Pip")
    chat = town.add_chat(
        "telegram", "club", group=True, policy=UnknownSenderPolicy.REQUEST_APPROVAL
    )
    town.wire(chat, pip)

    assert telegram.say("club", "let me in", "7", group=True).outcome is Outcome.HELD
    assert telegram.say("club", "please", "7", group=True).outcome is Outcome.HELD
    card = telegram.wait_for_card(OWNER_CHAT)
    assert telegram.press(card, 0, "owner").outcome is ActionOutcome.ACCEPTED

    telegram.wait_for("club", "let me in")
    telegram.wait_for("club", "please")
    cards = [shown for shown in telegram.platform.shown if shown.part.question]
    assert len(cards) == 1
    assert telegram.say("club", "thanks", "7", group=True).outcome is Outcome.ROUTED


def test_t32_refused_stranger_is_not_answered_and_not_asked_about_at_once(
    town: Town, telegram: TownChannel
) -> None:
    pip = town.add_agent("Pip")
    chat = town.add_chat(
        "telegram", "club", group=True, policy=UnknownSenderPolicy.REQUEST_APPROVAL
    )
    town.wire(chat, pip)
    telegram.say("club", "let me in", "8", group=True)
    card = telegram.wait_for_card(OWNER_CHAT)

    assert telegram.press(card, 1, "owner").outcome is ActionOutcome.ACCEPTED
    telegram.say("club", "please", "8", group=True)

    assert telegram.say("club", "the owner speaks", "owner", group=True).outcome is Outcome.ROUTED
    telegram.wait_for("club", "the owner speaks")
    assert not [text for text in telegram.texts("club") if "let me in" in text]
    assert len([shown for shown in telegram.platform.shown if shown.part.question]) == 1


def test_strict_chat_refuses_strangers_without_a_word_and_counts_them(
    town: Town, telegram: TownChannel
) -> None:
    pip = town.add_agent("Pip")
    town.wire(town.add_chat("telegram", "family", policy=UnknownSenderPolicy.STRICT), pip)

    for _ in range(3):
        assert telegram.say("family", "psst", "9").outcome is not Outcome.ROUTED

    [dropped] = town.rows("SELECT * FROM dropped_messages WHERE sender = 'telegram:9'")
    assert dropped["message_count"] == 3
    assert "strict" in str(dropped["reason"])
    assert not telegram.texts("family")


def test_display_name_of_the_owner_gives_no_rights(town: Town, telegram: TownChannel) -> None:
    pip = town.add_agent("Pip")
    town.wire(town.add_chat("telegram", "family", policy=UnknownSenderPolicy.STRICT), pip)

    for sender in ("slack:owner", "Owner", "telegram:telegram:owner"):
        assert telegram.say("family", "I am the owner", sender).outcome is not Outcome.ROUTED


def test_t65_sticky_mention_engages_only_where_the_agent_was_addressed(
    town: Town, telegram: TownChannel
) -> None:
    pip = town.add_agent("Pip")
    chat = town.add_chat("telegram", "band", group=True)
    town.wire(
        chat,
        pip,
        engage_mode=EngageMode.MENTION_STICKY,
        engage_pattern=None,
        ignored_message_policy=IgnoredMessagePolicy.ACCUMULATE,
    )

    telegram.say("band", "one", "1", group=True)
    telegram.say("band", "two", "1", group=True)
    assert not town.rows("SELECT * FROM engagements")
    telegram.say("band", "Pip?", "1", mention=True, group=True)
    answer = telegram.wait_for("band", "Pip?")
    assert "one" in answer.text or "two" in answer.text or answer.text
    telegram.say("band", "three", "1", group=True)

    telegram.wait_for("band", "three")


def test_t64_commands_are_answered_denied_or_silent(town: Town, telegram: TownChannel) -> None:
    pip = town.add_agent("Pip")
    town.wire(town.add_chat("telegram", "family"), pip)

    telegram.say("family", "/help", "1")
    telegram.wait_for("family", "/status")
    telegram.say("family", "/status", "1")
    telegram.wait_for("family", "Pip")
    shown = len(telegram.platform.shown)
    telegram.say("family", "/clear", "1")
    telegram.wait_for("family", "/clear", after=shown)
    shown = len(telegram.platform.shown)
    telegram.say("family", "/login", "1")
    telegram.say("family", "hello", "1")
    telegram.wait_for("family", "hello", after=shown)

    assert len(telegram.platform.shown) == shown + 1


def test_t24_two_agents_in_one_chat_each_get_the_message_and_answer(
    town: Town, telegram: TownChannel
) -> None:
    chat = town.add_chat("telegram", "family")
    for name in ("Pip", "Sam"):
        script = {"rules": [{"match": None, "steps": [{"say": f"{name} hears {{text}}"}]}]}
        town.wire(chat, town.add_agent(name, script=script))

    telegram.say("family", "hello", "1")

    telegram.wait_for("family", "Pip hears hello")
    telegram.wait_for("family", "Sam hears hello")


def test_w38_every_message_of_a_connected_group_is_not_for_the_agent(
    town: Town, telegram: TownChannel
) -> None:
    telegram.say("garden", "Pip, hello", "5", mention=True, group=True)
    card = telegram.wait_for_card(OWNER_CHAT)
    telegram.press(card, 0, "owner")
    telegram.wait_for("garden", "Pip, hello")

    other = telegram.say("garden", "nobody asked", "77", group=True)

    assert other.outcome is not Outcome.ROUTED

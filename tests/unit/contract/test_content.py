import json
from dataclasses import replace

import pytest

from contract.content import (
    MAX_INBOUND_BYTES,
    MAX_OUTBOUND_BYTES,
    Attachment,
    Author,
    Card,
    CardAction,
    CardOut,
    ChatIn,
    ChatOut,
    CliError,
    CliFrame,
    CliResponse,
    EditOut,
    MessageEdited,
    Option,
    QuestionCard,
    QuestionResponse,
    ReactionIn,
    ReactionOut,
    ReplyTo,
    TaskIn,
    UnknownIn,
    WebhookIn,
    dump,
    parse_inbound,
    parse_outbound,
)
from contract.errors import BadContent
from contract.shape import Shape

INBOUND = [
    pytest.param(
        "chat",
        '{"text":"hi","sender":"Ann","senderId":"telegram:1","isFromMe":false,'
        '"attachments":[{"type":"image","name":"a.jpg","mimeType":"image/jpeg","size":7,'
        '"localPath":"inbox/m/a.jpg","width":3}],"replyTo":{"text":"Milk?","sender":"Bo","id":77}}',
        ChatIn(
            text="hi",
            sender="Ann",
            sender_id="telegram:1",
            is_from_me=False,
            attachments=(
                Attachment(
                    type="image",
                    name="a.jpg",
                    mime_type="image/jpeg",
                    size=7,
                    local_path="inbox/m/a.jpg",
                    extra={"width": 3},
                ),
            ),
            reply_to=ReplyTo(text="Milk?", sender="Bo", id=77),
        ),
        id="chat",
    ),
    pytest.param(
        "chat-sdk",
        '{"text":"hi","author":{"userId":"U1","fullName":"Ann","isBot":false},'
        '"_type":"chat:Message","links":[]}',
        ChatIn(
            text="hi",
            author=Author(user_id="U1", full_name="Ann", extra={"isBot": False}),
            extra={"_type": "chat:Message", "links": []},
        ),
        id="chat-sdk",
    ),
    pytest.param(
        "chat",
        '{"event":"edit","messageId":"m1","text":"new"}',
        MessageEdited(message_id="m1", text="new"),
        id="edit",
    ),
    pytest.param(
        "chat",
        '{"event":"reaction","messageId":"m1","emoji":"heart","removed":true}',
        ReactionIn(message_id="m1", emoji="heart", removed=True),
        id="reaction",
    ),
    pytest.param(
        "task",
        '{"prompt":"agenda","script":"true","scriptOutput":null}',
        TaskIn(prompt="agenda", script="true", extra={"scriptOutput": None}),
        id="task",
    ),
    pytest.param(
        "webhook",
        '{"source":"ci","event":"failed","payload":{"run":3}}',
        WebhookIn(source="ci", event="failed", payload={"run": 3}),
        id="webhook",
    ),
    pytest.param(
        "system",
        '{"type":"question_response","questionId":"q1","selectedOption":"Yes","userId":"u1"}',
        QuestionResponse(question_id="q1", selected_option="Yes", user_id="u1"),
        id="answer",
    ),
    pytest.param(
        "system",
        '{"type":"cli_response","requestId":"r1","frame":{"id":"r1","ok":true,"data":[1]}}',
        CliResponse(request_id="r1", frame=CliFrame(id="r1", ok=True, data=[1])),
        id="cli-ok",
    ),
    pytest.param(
        "system",
        '{"type":"cli_response","requestId":"r1","frame":{"id":"r1","ok":false,'
        '"error":{"code":"forbidden","message":"no"}}}',
        CliResponse(
            request_id="r1",
            frame=CliFrame(id="r1", ok=False, error=CliError(code="forbidden", message="no")),
        ),
        id="cli-error",
    ),
    pytest.param("system", '{"type":"later"}', UnknownIn(extra={"type": "later"}), id="unknown"),
]


@pytest.mark.parametrize(("kind", "text", "content"), INBOUND)
def test_inbound_shapes_are_read_and_written_back_with_every_key(
    kind: str, text: str, content: Shape
) -> None:
    assert parse_inbound(kind, text) == content
    assert json.loads(dump(content)) == json.loads(text)


OUTBOUND = [
    pytest.param("chat", '{"text":"hi"}', ChatOut(text="hi"), id="text"),
    pytest.param(
        "chat",
        '{"text":"Report","files":["report.pdf"]}',
        ChatOut(text="Report", files=("report.pdf",)),
        id="files",
    ),
    pytest.param(
        "chat",
        '{"operation":"edit","messageId":"9","text":"Corrected"}',
        EditOut(message_id="9", text="Corrected"),
        id="edit",
    ),
    pytest.param(
        "chat",
        '{"operation":"reaction","messageId":"9","emoji":"thumbs_up"}',
        ReactionOut(message_id="9", emoji="thumbs_up"),
        id="reaction",
    ),
    pytest.param(
        "chat-sdk",
        '{"type":"ask_question","questionId":"q","title":"Deploy","question":"Go?",'
        '"options":[{"label":"Yes","selectedLabel":"Yes!","value":"y"}]}',
        QuestionCard(
            question_id="q",
            title="Deploy",
            question="Go?",
            options=(Option(label="Yes", selected_label="Yes!", value="y"),),
        ),
        id="question",
    ),
    pytest.param(
        "chat-sdk",
        '{"type":"card","card":{"title":"Status","children":[1],'
        '"actions":[{"label":"Open","url":"https://x"}]},"fallbackText":"Status"}',
        CardOut(
            card=Card(
                title="Status",
                children=(1,),
                actions=(CardAction(label="Open", url="https://x"),),
            ),
            fallback_text="Status",
        ),
        id="card",
    ),
]


@pytest.mark.parametrize(("kind", "text", "content"), OUTBOUND)
def test_outbound_shapes_are_read_and_written_back_with_every_key(
    kind: str, text: str, content: Shape
) -> None:
    assert parse_outbound(kind, text) == content
    assert json.loads(dump(content)) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words", "plain words"),
        ('"a string"', "a string"),
        ("[1,2]", "[1,2]"),
        ("7", "7"),
        ("{broken", "{broken"),
    ],
)
def test_inbound_text_that_is_no_object_is_chat_text(text: str, shown: str) -> None:
    assert parse_inbound("chat", text) == ChatIn(text=shown)


def test_inbound_text_over_the_limit_is_refused() -> None:
    with pytest.raises(BadContent):
        parse_inbound("chat", '{"text":"' + "x" * MAX_INBOUND_BYTES + '"}')


def test_an_inbound_shape_that_lacks_what_it_needs_is_kept_as_it_came() -> None:
    content = parse_inbound("task", '{"prompt":5,"script":null}')

    assert content == UnknownIn(extra={"prompt": 5, "script": None})


def test_a_value_of_a_wrong_type_is_neither_used_nor_lost() -> None:
    content = parse_inbound("chat", '{"text":"hi","sender":5,"attachments":{"a":1}}')

    assert content == ChatIn(text="hi", extra={"sender": 5, "attachments": {"a": 1}})
    assert json.loads(dump(content)) == {"text": "hi", "sender": 5, "attachments": {"a": 1}}


def test_options_may_be_strings_or_labels_alone() -> None:
    card = parse_outbound(
        "chat-sdk",
        '{"type":"ask_question","questionId":"q","title":"t","question":"?",'
        '"options":["Yes",{"label":"No"}]}',
    )

    assert isinstance(card, QuestionCard)
    assert card.options == (
        Option(label="Yes", selected_label="Yes", value="Yes"),
        Option(label="No", selected_label="No", value="No"),
    )


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[]",
        '{"operation":"edit","text":"without message"}',
        '{"operation":"edit","messageId":5,"text":"wrong type"}',
        '{"operation":"reaction","messageId":"9"}',
        '{"type":"ask_question","questionId":"q","title":"t","question":"?","options":"Yes"}',
        '{"type":"ask_question","questionId":"q","title":"t","question":"?","options":[7]}',
        '{"type":"ask_question","questionId":"q","title":"t","question":"?","options":[{}]}',
        '{"type":"card","card":[]}',
        '{"text":"' + "x" * MAX_OUTBOUND_BYTES + '"}',
    ],
)
def test_outbound_content_that_does_not_fit_is_refused(text: str) -> None:
    with pytest.raises(BadContent):
        parse_outbound("chat", text)


def test_the_search_key_of_an_answer_is_written_without_spaces() -> None:
    answer = QuestionResponse(question_id="q-1", selected_option="Yes")

    assert '"questionId":"q-1"' in dump(answer)


def test_a_changed_copy_keeps_the_unknown_keys() -> None:
    content = parse_inbound("chat", '{"text":"a","color":"red"}')

    assert isinstance(content, ChatIn)
    assert dump(replace(content, text="b")) == '{"text":"b","color":"red"}'

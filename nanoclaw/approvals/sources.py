"""Every kind of card that the desk brings to people. A new kind is a line here."""

from nanoclaw.approvals import channels, credentials, egress, questions, senders
from nanoclaw.approvals.card_sources import CardSource
from nanoclaw.approvals.owner_notice import OwnerNotices
from nanoclaw.approvals.request_cards import ApprovalCards

SOURCES: tuple[CardSource, ...] = (
    ApprovalCards(),
    credentials.CARDS,
    OwnerNotices(),
    senders.CARDS,
    channels.CARDS,
    questions.CARDS,
    egress.CARDS,
)

"""Approvals and questions: who is asked, what the card shows, whose answer counts."""

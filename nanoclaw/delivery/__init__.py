"""Delivery: what agents and the host have to say, brought to its channel exactly once.

``intake`` reads session files into receipts, ``decide`` is pure, ``targets`` keeps the order per
chat, ``loop`` joins them. Runs in the ``delivery`` process only.
"""

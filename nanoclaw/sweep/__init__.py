"""Time and containers: wakes agents that have work, stops what is stuck or idle, settles exits.

``decide`` is pure; ``loop`` is the body of the ``sweep`` process and joins ``engine`` (is there a
runtime, an image), ``starter``, ``settle``, ``health`` and ``disk``. Alone in changing which
container a session has; sends nothing itself, it only queues notices.
"""

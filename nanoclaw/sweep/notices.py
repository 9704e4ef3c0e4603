"""What the sweep says in a chat when an agent cannot: short, plain, without blame.

Texts only; ``sessions.notice`` queues them. Pure.
"""

GAVE_UP = (
    "I could not process your message: the agent stopped {tries} times while working on it. "
    "Please try it in another way, or ask whoever runs this installation."
)
CANNOT_START = (
    "I cannot start at the moment: {reason}. Your message is kept. "
    "Whoever runs this installation has to look at the log."
)
KEEPS_FAILING = (
    "I have trouble starting ({reason}). Your message is kept and I go on trying every few minutes."
)
DISK_FULL = (
    "I had to stop because my files take more space than I may use. "
    "Ask me to delete what I do not need any more."
)

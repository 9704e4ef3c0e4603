"""Sessions on the host's side: which one a message belongs to, and its folder on disk.

``decide`` is pure; ``folder`` creates and opens session folders; ``attachments`` (part 3) stores
files; ``notice`` is how the host speaks in a chat, ``set_aside`` stops one
with a damaged file, ``quarantine`` remembers which session a process was reading when it died.
"""

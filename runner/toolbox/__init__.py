"""Tools: what they are, and how the calls of one answer are carried out."""

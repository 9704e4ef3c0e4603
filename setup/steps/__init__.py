"""One module per step: what it finds, what it does, how it proves that it worked."""

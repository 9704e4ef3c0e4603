"""One module per kind of thing that ``ncl`` shows and changes; ``table`` lists them all."""

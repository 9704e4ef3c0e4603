"""What follows when a container has ended; ``decide`` is pure, ``sweep.settle`` carries it out."""

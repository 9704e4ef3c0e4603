"""The addresses that model requests go to: ``decide`` is pure, ``pool`` holds them."""

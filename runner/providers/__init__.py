"""Providers: what thinks. ``base`` is the protocol, ``registry`` the table of names."""

"""Channel workers: one process per connected account, no database, no decision about people.

``adapter`` is the contract that every platform's code keeps, ``registry`` names the channels,
``worker`` drives one adapter: frames, journal, order, retries, connection life. Each platform is
a package of its own below this one.
"""

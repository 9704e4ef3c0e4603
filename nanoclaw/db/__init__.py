"""The central database: connection, migrations, and every statement that runs on it.

``connection`` opens the file, ``migrations`` brings it to today, and each other module holds the
statements of one family of tables as functions that take a connection and return frozen values.
Functions never begin or end a transaction that their caller is in.
"""

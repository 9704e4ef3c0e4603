"""``nanoclaw sql DATABASE STATEMENTS``: looks into a database file, or changes it (N-110).

For repairs and for scripts; what people need every day is in ``ncl``, which also checks and
records what it changes.
"""

import argparse

from nanoclaw.cli.render import print_error, print_text
from nanoclaw.db.sql_tool import run_sql
from nanoclaw.errors import StateError


def main(arguments: argparse.Namespace) -> int:
    try:
        for line in run_sql(arguments.database, arguments.statements):
            print_text(line)
    except StateError as error:
        print_error(str(error))
        return 1
    return 0

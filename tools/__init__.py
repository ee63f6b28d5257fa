"""Commands for the whole collection, ``python -m tools.<name>``."""

import sys

from shared.runs.last_line import end_in_one_line

if sys.argv[0] == "-m":  # so it is while Python looks for the command
    end_in_one_line()

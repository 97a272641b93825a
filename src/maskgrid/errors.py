"""The errors that a person is meant to read."""


class UserError(Exception):
    """Something the user can mend: says what is wrong, where, and what to do.

    The command line prints the message alone, without a traceback, and exits with 2.
    """

# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error class that a user is meant to read."""


class UserError(ValueError):
    """Wrong input from outside: a file, an option, a field. One line that names it and the way out.

    The command line prints it without a traceback and exits with code 2.
    """

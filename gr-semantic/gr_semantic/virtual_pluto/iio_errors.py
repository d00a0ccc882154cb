# SPDX-License-Identifier: GPL-3.0-or-later
"""What a device answers when it refuses."""

import os


class IioError(Exception):
    """A request that is refused; the client gets -number (number: one of the errno module's)."""

    def __init__(self, number: int):
        super().__init__(os.strerror(number))
        self.number = number

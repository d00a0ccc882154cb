# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error that users of this package see."""


class CodecError(ValueError):
    """Wrong input, file or setting; its text is one clear line that names it and the way out."""

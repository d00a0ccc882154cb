# SPDX-License-Identifier: GPL-3.0-or-later
"""GNU Radio blocks: thin adaptors around modem, codec, channel and link."""

import os

# GNU Radio prints every buffer setting to stdout otherwise; read when its runtime is first imported.
os.environ.setdefault("GR_CONF_LOG_LOG_LEVEL", "warning")

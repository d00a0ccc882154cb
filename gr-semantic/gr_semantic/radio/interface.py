# SPDX-License-Identifier: GPL-3.0-or-later
"""What every radio offers, and how it fails."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gr_semantic.errors import UserError


class RadioError(UserError):
    """A radio cannot be opened or set as asked; the text names its URI and what to check."""


class RadioLost(RuntimeError):
    """An open radio has stopped working (unplugged, stalled); open it anew."""


@dataclass
class Counters:
    """What went wrong, or nearly, since the radio was opened.

    clipped: values (I or Q) beyond full scale at the transmitter. overflows, underflows: how often the device said that
    samples were lost at reception, or that there were none to send. dropped: received samples that were thrown away
    because nobody fetched them. reconnects: how often the radio came back.
    """

    clipped: int = 0
    overflows: int = 0
    underflows: int = 0
    dropped: int = 0
    reconnects: int = 0


class Radio(Protocol):
    """One radio. ``transmit`` and ``receive`` may be called from two threads at a time, ``close`` from any.

    settings: what it really set, JSON-ready. counters: Counters.
    """

    settings: dict
    counters: Counters

    def transmit(self, samples: np.ndarray) -> None:
        """Send samples (complex64, full scale 1.0 in I and Q); blocks until the radio has taken them. The rest that
        does not fill a buffer waits for the next call, or for ``flush``.

        Raises:
            RadioLost: the radio no longer takes samples.
        """

    def flush(self) -> None:
        """Fill the buffer that is begun with zeros and send it."""

    def receive(self, count: int) -> np.ndarray:
        """The next ``count`` samples (complex64, full scale 1.0); blocks until they are there. Fewer at the end of a
        file.

        Raises:
            RadioLost: the radio no longer gives samples.
        """

    def set_tx_attenuation_db(self, attenuation_db: float) -> None:
        """While running; settings follow."""

    def close(self) -> None:
        """The transmitter is off when this returns. Harmless a second time."""

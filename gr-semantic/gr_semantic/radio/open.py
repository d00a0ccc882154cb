# SPDX-License-Identifier: GPL-3.0-or-later
"""From a radio's settings to the radio."""

from gr_semantic.radio import off_switch
from gr_semantic.radio.config import RadioConfig
from gr_semantic.radio.interface import Radio, RadioError


def open_radio(config: RadioConfig, medium=None) -> Radio:
    """The radio of a configuration, set, its transmitter off until something is sent.

    Args:
        config: its settings.
        medium: SimulatedMedium on which a simulated radio lives.

    Raises:
        RadioError: it cannot be opened or set as asked.
    """
    if off_switch.ending:
        raise RadioError("the process is ending")
    if config.kind == "simulated":
        if medium is None:
            raise RadioError("a simulated radio needs a medium: name one in the configuration's field 'medium'")
        return medium.radio(config)
    if config.kind == "file":
        from gr_semantic.radio.file_radio import FileRadio

        return FileRadio(config)
    from gr_semantic.radio.pluto import Pluto

    return Pluto(config)

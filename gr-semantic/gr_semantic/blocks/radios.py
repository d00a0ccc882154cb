# SPDX-License-Identifier: GPL-3.0-or-later
"""The radios of a process: a source and a sink block of one URI share one."""

import threading

from gr_semantic.errors import UserError
from gr_semantic.radio import RadioConfig, RadioKeeper
from gr_semantic.radio.pluto import load_libraries

_SHARED = {}
_LOCK = threading.Lock()


class SharedRadio:
    """A RadioKeeper and the blocks that use it; opened by the first that starts, closed by the first that stops."""

    def __init__(self, keeper: RadioKeeper, owned: bool):
        self.keeper, self._owned = keeper, owned

    def attach(self, block) -> None:
        """Lost and found radios are reported on this block's status port."""
        self.keeper.on_event.append(lambda text: block.report("error" if self.keeper.failed else "warning", text))

    def start(self, block) -> bool:
        """Open the radio; False, and an error on the status port, if that fails."""
        try:
            self.keeper.open()
        except UserError as error:
            self.keeper.failed = str(error)
            block.report("error", error)
        return True

    def stop(self, block) -> bool:
        """Close the radio if it was opened for the blocks: its transmitter is off then."""
        if self._owned:
            self.keeper.close()
            with _LOCK:
                _SHARED.pop(self.keeper.name, None)
        return True

    def try_to(self, block, action, value) -> None:
        """A setting while running; one that is out of range is reported, and the old one stays."""
        try:
            action(float(value))
        except (UserError, RuntimeError) as error:
            block.report("warning", error)


def shared_radio(uri, fields: dict) -> SharedRadio:
    """The radio of that URI, with further settings; or the radio of a RadioKeeper, as it is.

    Raises:
        UserError: a setting is wrong, or two blocks want different sample rates of one radio.
    """
    if isinstance(uri, RadioKeeper):
        return SharedRadio(uri, owned=False)
    with _LOCK:
        known = _SHARED.get(uri)
        if known is None:
            config = RadioConfig.from_dict({"uri": uri} | fields, f"radio {uri}")
            load_libraries()
            known = _SHARED[uri] = SharedRadio(RadioKeeper(uri, config), owned=True)
        else:
            rates = known.keeper.config.sample_rate_hz, fields["sample_rate_hz"]
            if rates[0] != rates[1]:
                raise UserError(f"radio {uri}: one sample rate for both directions, not {rates[0]:g} and {rates[1]:g}")
            known.keeper.configure(**fields)
        return known

# SPDX-License-Identifier: GPL-3.0-or-later
"""What all blocks share: the status port and handlers out of which no exception escapes."""

import functools
import logging

import pmt

from gr_semantic.blocks.pdu import make_pdu

_LOG = logging.getLogger("gr_semantic.blocks")
_STATUS = pmt.intern("status")
WORK_DONE = -1


class MessageBlock:
    """Mixin for GNU Radio blocks. Call ``open_ports`` once the gr block is constructed.

    Every block has a ``status`` output: PDUs with meta block, level ("warning" or "error") and text. A
    warning says that one message was dropped; an error that the block cannot do its work.
    """

    def open_ports(self, inputs: dict | None = None, outputs: tuple = ()) -> None:
        """Register message ports.

        Args:
            inputs: port name to bound handler method (GNU Radio stores its ``__name__``: no lambdas).
            outputs: names of the output ports besides ``status``.
        """
        self.error = None
        self.set_log_level("warn")  # GNU Radio prints every buffer setting to stdout otherwise
        for port, handler in (inputs or {}).items():
            self.message_port_register_in(pmt.intern(port))
            self.set_msg_handler(pmt.intern(port), handler)
        self.message_port_register_out(_STATUS)
        for port in outputs:
            self.message_port_register_out(pmt.intern(port))

    def publish(self, port: str, meta: dict, vector=None) -> None:
        """Send a PDU on an output port."""
        self.message_port_pub(pmt.intern(port), make_pdu(meta, vector))

    def report(self, level: str, text: str) -> None:
        """Log a line and send it on the status port; the first error is kept in ``self.error``."""
        text = " ".join(str(text).split())
        _LOG.log(logging.getLevelName(level.upper()), "%s: %s", self.name(), text)
        if level == "error" and self.error is None:
            self.error = f"{self.name()}: {text}"
        self.message_port_pub(_STATUS, make_pdu({"block": self.name(), "level": level, "text": text}))


def guarded(handler):
    """Wrap a message handler: wrong input (ValueError) becomes a warning, anything else an error."""

    @functools.wraps(handler)
    def guard(self, message):
        try:
            handler(self, message)
        except ValueError as wrong_input:
            self.report("warning", wrong_input)
        except Exception as failure:
            _LOG.debug("handler %s", handler.__name__, exc_info=True)
            self.report("error", f"{type(failure).__name__}: {failure}")

    return guard


def guarded_work(work):
    """Wrap ``work``: an exception is reported as an error and ends the stream, so that ``wait()`` returns."""

    @functools.wraps(work)
    def guard(self, input_items, output_items):
        try:
            return work(self, input_items, output_items)
        except Exception as failure:
            _LOG.debug("work of %s", self.name(), exc_info=True)
            self.report("error", f"{type(failure).__name__}: {failure}")
            return WORK_DONE

    return guard

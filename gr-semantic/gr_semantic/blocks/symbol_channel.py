# SPDX-License-Identifier: GPL-3.0-or-later
"""Symbols through noise, without a waveform around them: to study a codec alone."""

import numpy as np
from gnuradio import gr

from gr_semantic.blocks.message_block import MessageBlock, guarded
from gr_semantic.blocks.pdu import PduError, read_pdu, require
from gr_semantic.errors import UserError


class SymbolChannel(MessageBlock, gr.basic_block):
    """Stands in for transmitter, channel and receiver: an encoder's symbols come out as a receiver's frames.

    Input ``symbols``: the encoder's frames.
    Output ``frames``: the same with complex white noise of variance 10**(-snr_db/10) a symbol added, and the keys of an
    OFDM receiver's frames: measured_snr_db (exact), noise_var, start_sample (number of the frame), frame_len 1, cfo_hz
    and sro_ppm 0, evm_db. Output ``constellation``: the symbols alone.

    Args:
        snr_db: of the symbols, -60 to 100.
        seed: of the noise.
    """

    def __init__(self, snr_db=10.0, seed=0):
        _check(snr_db)
        if seed < 0:
            raise UserError(f"seed is {seed}, expected 0 or more")
        gr.basic_block.__init__(self, name="semantic_symbol_channel", in_sig=None, out_sig=None)
        self.snr_db = float(snr_db)
        self._rng = np.random.default_rng(int(seed))
        self._frames = 0
        self.open_ports({"symbols": self.on_symbols}, ("frames", "constellation"))

    def set_snr_db(self, snr_db):
        """Change the SNR from the next frame on; a wrong one is reported, and the old one stays."""
        try:
            _check(snr_db)
        except UserError as mistake:
            self.report("warning", mistake)
        else:
            self.snr_db = float(snr_db)

    @guarded
    def on_symbols(self, message):
        meta, symbols = read_pdu(message)
        if meta.get("kind") != "data":  # an empty slot, or the end
            return
        if symbols is None or symbols.dtype != np.complex64:
            raise PduError(f"frame {require(meta, 'sequence', int)} holds no symbols")
        snr_db = self.snr_db
        variance = np.float32(10 ** (-snr_db / 10))
        noise = self._rng.standard_normal((len(symbols), 2), np.float32).view(np.complex64)[:, 0]
        noisy = symbols + noise * np.sqrt(variance / 2)
        measured = {
            "start_sample": self._frames,
            "frame_len": 1,
            "measured_snr_db": snr_db,
            "cfo_hz": 0.0,
            "sro_ppm": 0.0,
            "evm_db": -snr_db,
            "noise_var": np.full(len(symbols), variance, np.float32),
        }
        self._frames += 1
        self.publish("frames", meta | measured, noisy)
        self.publish("constellation", {"measured_snr_db": snr_db}, noisy)


def _check(snr_db):
    if not -60 <= snr_db <= 100:
        raise UserError(f"snr_db is {snr_db}, expected -60..100")

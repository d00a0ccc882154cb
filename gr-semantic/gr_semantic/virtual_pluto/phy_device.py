# SPDX-License-Identifier: GPL-3.0-or-later
"""The control device ad9361-phy."""

import errno
import re

from gr_semantic.virtual_pluto.attributes import (
    Attribute,
    Attributes,
    Channel,
    Device,
    constant,
    number,
    one_of,
    refusing,
    switch,
    whole,
    within,
)
from gr_semantic.virtual_pluto.iio_errors import IioError
from gr_semantic.virtual_pluto.transceiver import (
    ENSM_MODES,
    GAIN_MODES,
    MAX_RATE_HZ,
    TX_GAIN_RANGE_DB,
    TX_GAIN_STEP_DB,
    XO_RANGE_HZ,
    Fir,
    Transceiver,
)

PHY_ID = "iio:device0"
_CALIBRATIONS = ("auto", "manual", "manual_tx_quad", "tx_quad", "rf_dc_offs", "rssi_gain_step")
_GOVERNORS = ("nominal", "highest_osr")
_RX_PORTS = ("A_BALANCED", "B_BALANCED", "C_BALANCED", "A_N", "A_P", "B_N", "B_P", "C_N", "C_P")
_RX_MONITORS = ("TX_MONITOR1", "TX_MONITOR2", "TX_MONITOR1_2")
_TX_PORTS = ("A", "B")
_SHARED = frozenset(
    (
        "bb_dc_offset_tracking_en",
        "filter_fir_en",
        "gain_control_mode_available",
        "quadrature_tracking_en",
        "rf_bandwidth",
        "rf_bandwidth_available",
        "rf_dc_offset_tracking_en",
        "rf_port_select_available",
        "sampling_frequency",
        "sampling_frequency_available",
    )
)
_MAX_TAPS = 128
_FIR_HEAD = re.compile(r"(RX|TX) (\d+) GAIN (-?\d+) (DEC|INT) (\d+)")
_FASTLOCK_WORD = "0 " + ",".join(["0"] * 16)


def phy_device(pluto) -> Device:
    """The device of a Pluto; reads and changes ``pluto.transceiver`` with ``pluto.lock`` held."""
    return _PhyAttributes(pluto).device()


class _PhyAttributes:
    def __init__(self, pluto):
        self._pluto = pluto
        self._state: Transceiver = pluto.transceiver

    def device(self) -> Device:
        channels = [
            self._lo("altvoltage0", "RX_LO", "rx"),
            self._lo("altvoltage1", "TX_LO", "tx"),
            self._receiver(),
            self._transmitter(),
            Channel("temp0", False, Attributes(constant("input", "34567"))),
            self._monitor("voltage2", False, constant("offset", "57"), constant("raw", "719"), "0.305250"),
            self._monitor("voltage2", True, self._kept("raw", "306", whole, 0, 1023), None, "1.000000"),
            self._monitor("voltage3", True, self._kept("raw", "306", whole, 0, 1023), None, "1.000000"),
            Channel("out", False, Attributes(self._fir_switch("voltage_filter_fir_en", True, True))),
        ]
        attributes = Attributes(
            self._word("calib_mode", "auto", _CALIBRATIONS),
            constant("calib_mode_available", " ".join(_CALIBRATIONS)),
            refusing("dcxo_tune_coarse", errno.ENODEV, write=True),
            constant("dcxo_tune_coarse_available", "[0 0 0]"),
            refusing("dcxo_tune_fine", errno.ENODEV, write=True),
            constant("dcxo_tune_fine_available", "[0 0 0]"),
            self._field("ensm_mode", "ensm_mode", lambda text: one_of(text, ENSM_MODES)),
            constant("ensm_mode_available", " ".join(ENSM_MODES)),
            Attribute("filter_fir_config", self._locked(self._read_fir), self._locked(self._write_fir)),
            Attribute("multichip_sync", None, lambda text: None),
            constant(
                "rssi_gain_step_error",
                "lna_error: 0 0 0 0\nmixer_error: 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\ngain_step_calib_reg_val: 0 0 0 0 0",
            ),
            Attribute("rx_path_rates", self._locked(lambda: self._path_rates(False))),
            self._word("trx_rate_governor", "nominal", _GOVERNORS),
            constant("trx_rate_governor_available", " ".join(_GOVERNORS)),
            Attribute("tx_path_rates", self._locked(lambda: self._path_rates(True))),
            self._field("xo_correction", "xo_hz", lambda text: within(whole(text), *XO_RANGE_HZ)),
            constant("xo_correction_available", f"[{XO_RANGE_HZ[0]} 1 {XO_RANGE_HZ[1]}]"),
        )
        debug = Attributes(
            Attribute("direct_reg_access", lambda: self._pluto.read_register(PHY_ID),
                      lambda text: self._pluto.write_register(PHY_ID, text)),
            self._field("loopback", "loopback", lambda text: within(whole(text), 0, 2)),
            self._kept("bist_prbs", "0", whole, 0, 2),
            Attribute("bist_tone", lambda: "0", lambda text: None),
            Attribute("initialize", None, lambda text: None),
            constant("gaininfo_rx1", "71 76 3 15 14 1 0 0"),
            constant("adi,2rx-2tx-mode-enable", "0"),
            constant("adi,frequency-division-duplex-mode-enable", "1"),
            constant("adi,ensm-enable-pin-pulse-mode-enable", "0"),
            constant("adi,rx-rf-port-input-select", "0"),
            constant("adi,tx-rf-port-input-select", "0"),
            constant("adi,xo-disable-use-ext-refclk-enable", "0"),
        )  # fmt: skip
        return Device(PHY_ID, "ad9361-phy", channels, attributes, debug_attributes=debug)

    def _lo(self, channel_id, name, side):
        lo, off = f"{side}_lo_hz", f"{side}_lo_off"
        low, high = self._state.limits.lo_hz
        return Channel(
            channel_id,
            True,
            Attributes(
                self._kept("external", "0", whole, 0, 1),
                Attribute("fastlock_load", lambda: "0", lambda text: None),
                refusing("fastlock_recall", errno.EINVAL, write=True),
                Attribute("fastlock_save", lambda: _FASTLOCK_WORD, lambda text: None),
                Attribute("fastlock_store", lambda: "0", lambda text: None),
                self._changed(
                    "frequency",
                    lambda: str(getattr(self._state, lo)),
                    lambda text: self._state.set_lo_hz(lo, whole(text)),
                ),
                constant("frequency_available", f"[{low} 1 {high}]"),
                self._flag("powerdown", off),
            ),
            name,
        )

    def _receiver(self):
        state = self._state
        return Channel(
            "voltage0",
            False,
            Attributes(
                self._kept("bb_dc_offset_tracking_en", "1", switch),
                self._fir_switch("filter_fir_en", True, False),
                self._field("gain_control_mode", "gain_mode", lambda text: one_of(text, GAIN_MODES)),
                constant("gain_control_mode_available", " ".join(GAIN_MODES)),
                self._changed(
                    "hardwaregain",
                    lambda: f"{state.rx_gain_db:.6f} dB",
                    lambda text: state.set_rx_gain_db(number(text)),
                ),
                Attribute("hardwaregain_available", self._locked(lambda: "[{} 1 {}]".format(*state.rx_gain_range_db))),
                self._kept("quadrature_tracking_en", "1", switch),
                *self._bandwidth("rx_bandwidth_hz"),
                self._kept("rf_dc_offset_tracking_en", "1", switch),
                self._word("rf_port_select", "A_BALANCED", _RX_PORTS + _RX_MONITORS),
                constant("rf_port_select_available", " ".join(_RX_PORTS + _RX_MONITORS)),
                Attribute("rssi", lambda: f"{self._pluto.rssi_db:.2f} dB"),
                *self._rate(),
            ),
            shared=_SHARED,
        )

    def _transmitter(self):
        state = self._state
        low, high = TX_GAIN_RANGE_DB
        return Channel(
            "voltage0",
            True,
            Attributes(
                self._fir_switch("filter_fir_en", False, True),
                self._changed(
                    "hardwaregain",
                    lambda: f"{state.tx_gain_db:.6f} dB",
                    lambda text: state.set_tx_gain_db(number(text)),
                ),
                constant("hardwaregain_available", f"[{low:.6f} {TX_GAIN_STEP_DB:.6f} {high:.6f}]"),
                *self._bandwidth("tx_bandwidth_hz"),
                self._word("rf_port_select", "A", _TX_PORTS),
                constant("rf_port_select_available", " ".join(_TX_PORTS)),
                constant("rssi", "0.00 dB"),
                *self._rate(),
            ),
            shared=_SHARED,
        )

    def _monitor(self, channel_id, output, first, second, scale):
        parts = [part for part in (first, second) if part]
        return Channel(channel_id, output, Attributes(*parts, constant("scale", scale)))

    def _rate(self):
        state = self._state
        return (
            self._changed(
                "sampling_frequency", lambda: str(state.rate_hz), lambda text: state.set_rate_hz(number(text))
            ),
            Attribute("sampling_frequency_available", self._locked(lambda: f"[{state.min_rate_hz} 1 {MAX_RATE_HZ}]")),
        )

    def _bandwidth(self, name):
        state = self._state
        low, high = state.limits.bandwidth_hz
        return (
            self._changed(
                "rf_bandwidth",
                lambda: str(getattr(state, name)),
                lambda text: state.set_bandwidth_hz(name, number(text)),
            ),
            constant("rf_bandwidth_available", f"[{low} 1 {high}]"),
        )

    def _fir_switch(self, name, rx, tx):
        state = self._state
        return self._changed(
            name,
            lambda: str(int((state.rx_fir_on or not rx) and (state.tx_fir_on or not tx))),
            lambda text: state.switch_fir(switch(text), rx, tx),
        )

    def _read_fir(self):
        rx, tx = self._state.rx_fir, self._state.tx_fir
        return f"FIR Rx: {rx.taps},{rx.factor if rx.taps else 0} Tx: {tx.taps},{tx.factor if tx.taps else 0}"

    def _write_fir(self, text):
        """Heads "RX 3 GAIN -6 DEC 4" and "TX 3 GAIN 0 INT 4", then a line of one or two coefficients for each tap."""
        factors, columns, taps = {}, 0, 0
        for line in text.replace("\0", "").splitlines():
            line = line.split("#")[0].strip()
            head = _FIR_HEAD.match(line)
            if head:
                factors[head[1]] = int(head[5])
                if factors[head[1]] not in (1, 2, 4):
                    raise IioError(errno.EINVAL)
            elif re.fullmatch(r"-?\d+(\s*,\s*-?\d+)?", line):
                for coefficient in line.split(","):
                    within(int(coefficient), -32768, 32767)
                columns = max(columns, line.count(",") + 1)
                taps += 1
        if not factors or not 16 <= taps <= _MAX_TAPS or taps % 16 or len(factors) > columns:
            raise IioError(errno.EINVAL)
        loaded = {name: Fir(taps, factor) for name, factor in factors.items()}
        self._state.set_fir(loaded.get("RX"), loaded.get("TX"))

    def _path_rates(self, transmit):
        names = "BBPLL DAC T2 T1 TF TXSAMP" if transmit else "BBPLL ADC R2 R1 RF RXSAMP"
        return " ".join(
            f"{name}:{rate}" for name, rate in zip(names.split(), self._state.path_rates(transmit), strict=True)
        )

    def _locked(self, call):
        def locked(*text):
            with self._pluto.lock:
                return call(*text)

        return locked

    def _changed(self, name, read, write):
        """An attribute whose writing matters to the air."""

        def write_and_count(text):
            write(text)
            self._state.version += 1

        return Attribute(name, self._locked(read), self._locked(write_and_count))

    def _field(self, name, field, parse):
        return self._changed(
            name, lambda: str(getattr(self._state, field)), lambda text: setattr(self._state, field, parse(text))
        )

    def _flag(self, name, field):
        return self._changed(
            name,
            lambda: str(int(getattr(self._state, field))),
            lambda text: setattr(self._state, field, switch(text)),
        )

    def _word(self, name, first, choices):
        kept = [first]
        return Attribute(name, lambda: kept[0], lambda text: kept.__setitem__(0, one_of(text, choices)))

    def _kept(self, name, first, parse, low=0, high=1):
        """A number in a range that has no effect on the air."""
        kept = [first]
        return Attribute(
            name, lambda: kept[0], lambda text: kept.__setitem__(0, str(int(within(parse(text), low, high))))
        )

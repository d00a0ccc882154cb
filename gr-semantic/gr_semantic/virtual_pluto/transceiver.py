# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a Pluto's transceiver (AD9363/AD9364) and the rules by which its settings change.

Rules as in the kernel's driver ad9361 and in the data sheet: ranges, steps, what depends on what, errno of a refusal.
"""

import errno
import math
from dataclasses import dataclass, field

from gr_semantic.virtual_pluto.attributes import within
from gr_semantic.virtual_pluto.iio_errors import IioError

CRYSTAL_HZ = 40_000_000
XO_RANGE_HZ = (39_992_000, 40_008_000)
MAX_RATE_HZ = 61_440_000
MIN_CONVERTER_HZ = 25_000_000
_MIN_DIVIDER = 12  # of all half-band stages
_MAX_ADC_HZ, _MAX_DAC_HZ = 640_000_000, 320_000_000
_BBPLL_RANGE_HZ = (715_000_000, 1_430_000_000)
_PLL_MODULUS = 8_388_593  # of the RF synthesiser's fractional part
TX_GAIN_RANGE_DB = (-89.75, 0.0)
TX_GAIN_STEP_DB = 0.25
GAIN_MODES = ("manual", "fast_attack", "slow_attack", "hybrid")
ENSM_MODES = ("sleep", "wait", "alert", "fdd", "pinctrl", "pinctrl_fdd_indep")
_ON_AIR = ("fdd", "pinctrl", "pinctrl_fdd_indep")


@dataclass(frozen=True)
class Limits:
    """What a model of the transceiver can be set to."""

    lo_hz: tuple[int, int]
    bandwidth_hz: tuple[int, int]


LIMITS = {
    "ad9363a": Limits((325_000_000, 3_800_000_000), (200_000, 20_000_000)),
    "ad9364": Limits((70_000_000, 6_000_000_000), (200_000, 56_000_000)),
}


@dataclass(frozen=True)
class Fir:
    """A FIR filter of the transceiver: number of taps (0: none loaded) and its decimation or interpolation."""

    taps: int = 0
    factor: int = 1


@dataclass
class Tone:
    """One of the four generators of the DDS. phase_mdeg: thousandths of a degree; scale_lin: 0..1 of full scale."""

    frequency_hz: int = 0
    phase_mdeg: int = 0
    scale_lin: float = 0.0
    on: bool = True


@dataclass
class Transceiver:
    """Settings at power-on, and methods that change them or raise IioError. Not locked: the caller does that."""

    model: str = "ad9363a"
    rate_hz: int = 30_720_000
    rx_by_8: bool = False
    tx_by_8: bool = False
    rx_fir: Fir = Fir()
    tx_fir: Fir = Fir()
    rx_fir_on: bool = False
    tx_fir_on: bool = False
    rx_lo_hz: int = 2_400_000_000
    tx_lo_hz: int = 2_450_000_000
    rx_lo_off: bool = False
    tx_lo_off: bool = False
    rx_bandwidth_hz: int = 18_000_000
    tx_bandwidth_hz: int = 18_000_000
    gain_mode: str = "slow_attack"
    rx_gain_db: float = 71.0
    tx_gain_db: float = -10.0
    xo_hz: int = CRYSTAL_HZ
    ensm_mode: str = "fdd"
    loopback: int = 0
    tones: list[Tone] = field(default_factory=lambda: [Tone(phase_mdeg=90_000 if k < 2 else 0) for k in range(4)])
    version: int = 0  # counts changes that matter to the air

    @property
    def limits(self) -> Limits:
        return LIMITS[self.model]

    @property
    def rx_rate_hz(self) -> float:
        """Rate of the receive buffer, by the radio's own clock."""
        return self.rate_hz / 8 if self.rx_by_8 else self.rate_hz

    @property
    def tx_rate_hz(self) -> float:
        """Rate of the transmit buffer, by the radio's own clock."""
        return self.rate_hz / 8 if self.tx_by_8 else self.rate_hz

    @property
    def transmitting(self) -> bool:
        """Whether the transmitter is on, whatever is sent."""
        return self.ensm_mode in _ON_AIR and not self.tx_lo_off

    @property
    def receiving(self) -> bool:
        """Whether the receiver is on."""
        return self.ensm_mode in _ON_AIR and not self.rx_lo_off

    @property
    def min_rate_hz(self) -> int:
        factor = min(self.rx_fir.factor, self.tx_fir.factor) if self.rx_fir_on and self.tx_fir_on else 1
        return MIN_CONVERTER_HZ // (_MIN_DIVIDER * factor)

    @property
    def rx_gain_range_db(self) -> tuple[int, int]:
        """The gain table in use depends on the carrier."""
        if self.rx_lo_hz < 1_300_000_000:
            return (-1, 73)
        return (-3, 71) if self.rx_lo_hz <= 4_000_000_000 else (-10, 62)

    def clock_ratio(self, ppm: float) -> float:
        """True frequencies over nominal ones, for a crystal that is off by ppm and corrected by xo_hz."""
        return CRYSTAL_HZ * (1 + ppm * 1e-6) / self.xo_hz

    def set_rate_hz(self, rate_hz: float) -> None:
        self.rate_hz = int(within(rate_hz, self.min_rate_hz, MAX_RATE_HZ))

    def set_fir(self, rx: Fir | None, tx: Fir | None) -> None:
        """Load filters. EBUSY: the one in use is not replaced."""
        if (rx and self.rx_fir_on) or (tx and self.tx_fir_on):
            raise IioError(errno.EBUSY)
        self.rx_fir, self.tx_fir = rx or self.rx_fir, tx or self.tx_fir

    def switch_fir(self, on: bool, rx: bool, tx: bool) -> None:
        """Use the filters or not. EINVAL: none is loaded, or the rate needs them."""
        if on and ((rx and not self.rx_fir.taps) or (tx and not self.tx_fir.taps)):
            raise IioError(errno.EINVAL)
        before = self.rx_fir_on, self.tx_fir_on
        self.rx_fir_on = on if rx else self.rx_fir_on
        self.tx_fir_on = on if tx else self.tx_fir_on
        if self.rate_hz < self.min_rate_hz:
            self.rx_fir_on, self.tx_fir_on = before
            raise IioError(errno.EINVAL)

    def set_lo_hz(self, name: str, lo_hz: int) -> None:
        """name: "rx_lo_hz" or "tx_lo_hz"."""
        setattr(self, name, within(lo_hz, *self.limits.lo_hz))
        if name == "rx_lo_hz":
            low, high = self.rx_gain_range_db
            self.rx_gain_db = min(max(self.rx_gain_db, low), high)

    def set_bandwidth_hz(self, name: str, bandwidth_hz: float) -> None:
        """name: "rx_bandwidth_hz" or "tx_bandwidth_hz". Clamped, as the driver does."""
        low, high = self.limits.bandwidth_hz
        setattr(self, name, int(min(max(bandwidth_hz, low), high)))

    def set_rx_gain_db(self, gain_db: float) -> None:
        """EOPNOTSUPP: the gain control is not manual."""
        if self.gain_mode != "manual":
            raise IioError(errno.EOPNOTSUPP)
        self.rx_gain_db = float(int(within(gain_db, *self.rx_gain_range_db)))

    def set_tx_gain_db(self, gain_db: float) -> None:
        """Rounded towards 0 to the step."""
        within(gain_db, *TX_GAIN_RANGE_DB)
        self.tx_gain_db = math.ceil(gain_db / TX_GAIN_STEP_DB) * TX_GAIN_STEP_DB + 0.0

    def path_rates(self, transmit: bool) -> list[int]:
        """BBPLL, converter, three half-band stages, data: rates in Hz that the dividers allow."""
        fir = (self.tx_fir if self.tx_fir_on else Fir()) if transmit else (self.rx_fir if self.rx_fir_on else Fir())
        limit_hz = _MAX_DAC_HZ if transmit else _MAX_ADC_HZ
        stages = [(3, 2, 2), (2, 2, 2), (3, 2, 1), (2, 2, 1), (3, 1, 1), (2, 1, 1), (1, 1, 1)]
        filtered_hz = self.rate_hz * fir.factor
        usable = [s for s in stages if filtered_hz * math.prod(s) <= limit_hz] or [(1, 1, 1)]
        third, second, first = usable[0]
        rates = [filtered_hz]
        for factor in (first, second, third):
            rates.append(rates[-1] * factor)
        bbpll_hz = rates[-1]
        while bbpll_hz < _BBPLL_RANGE_HZ[0] and bbpll_hz:
            bbpll_hz *= 2
        return [bbpll_hz, *rates[::-1], self.rate_hz]


def synthesised_hz(lo_hz: int) -> float:
    """The frequency that the fractional-N synthesiser really makes for ``lo_hz``, with a perfect crystal."""
    reference_hz = 2 * CRYSTAL_HZ
    halvings = 0
    while lo_hz << halvings < 6_000_000_000:
        halvings += 1
    steps = round((lo_hz << halvings) * _PLL_MODULUS / reference_hz)
    return steps * reference_hz / _PLL_MODULUS / (1 << halvings)

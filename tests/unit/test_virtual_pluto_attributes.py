# SPDX-License-Identifier: GPL-3.0-or-later
"""pyadi-iio's own Pluto class sets and reads back what it offers, over its range."""

import numpy as np
import pytest

from gr_semantic.virtual_pluto import VirtualPlutos

adi = pytest.importorskip("adi")
VALUES = 100


@pytest.fixture(scope="module", params=["ad9363a", "ad9364"])
def sdr(request):
    with VirtualPlutos({"radios": [{"model": request.param}]}).start() as plutos:
        sdr = adi.Pluto(plutos.uris[0])
        sdr.lo_range_hz, sdr.bandwidth_range_hz = {
            "ad9363a": ((325_000_000, 3_800_000_000), (200_000, 20_000_000)),
            "ad9364": ((70_000_000, 6_000_000_000), (200_000, 56_000_000)),
        }[request.param]
        yield sdr
        del sdr


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def integers(rng, low, high):
    """VALUES random whole numbers and both ends."""
    return [low, high, *(int(value) for value in rng.integers(low, high, VALUES, endpoint=True))]


@pytest.mark.parametrize("name", ["rx_lo", "tx_lo"])
def test_carriers(sdr, rng, name):
    for value in integers(rng, *sdr.lo_range_hz):
        setattr(sdr, name, value)
        assert getattr(sdr, name) == value
    for value in (sdr.lo_range_hz[0] - 1, sdr.lo_range_hz[1] + 1):
        before = getattr(sdr, name)
        with pytest.raises(OSError, match="22"):
            setattr(sdr, name, value)
        assert getattr(sdr, name) == before


@pytest.mark.parametrize("name", ["rx_rf_bandwidth", "tx_rf_bandwidth"])
def test_bandwidths(sdr, rng, name):
    for value in integers(rng, *sdr.bandwidth_range_hz):
        setattr(sdr, name, value)
        assert getattr(sdr, name) == value


def test_transmit_gain(sdr, rng):
    for value in [-89.75, 0.0, *rng.uniform(-89.75, 0, VALUES)]:
        sdr.tx_hardwaregain_chan0 = float(value)
        assert -0.25 < value - sdr.tx_hardwaregain_chan0 <= 0  # rounded towards 0 to 0.25 dB
    for step in rng.integers(0, 360, VALUES):
        sdr.tx_hardwaregain_chan0 = -0.25 * float(step)
        assert sdr.tx_hardwaregain_chan0 == -0.25 * step


@pytest.mark.parametrize(("lo_hz", "low", "high"), [(900_000_000, -1, 73), (2_400_000_000, -3, 71)])
def test_receive_gain(sdr, rng, lo_hz, low, high):
    sdr.rx_lo = lo_hz
    sdr.gain_control_mode_chan0 = "manual"
    for value in integers(rng, low, high):
        sdr.rx_hardwaregain_chan0 = value
        assert sdr.rx_hardwaregain_chan0 == value
    for value in (low - 1, high + 1):
        with pytest.raises(OSError, match="22"):
            sdr.rx_hardwaregain_chan0 = value


def test_gain_modes(sdr, rng):
    for mode in rng.choice(["manual", "slow_attack", "fast_attack", "hybrid"], VALUES):
        sdr.gain_control_mode_chan0 = str(mode)
        assert sdr.gain_control_mode_chan0 == mode


def test_sample_rates(sdr, rng):
    for value in integers(rng, 521_000, 61_440_000):
        sdr.sample_rate = value
        assert sdr.sample_rate == value


def test_rates_below_the_limit_are_refused(sdr):
    sdr.sample_rate = 1_000_000
    with pytest.raises(ValueError):
        sdr.sample_rate = 520_000
    assert sdr.sample_rate == 1_000_000


def test_fpga_filters(sdr, rng):
    for name in ("rx_dec8_filter_en", "tx_int8_filter_en"):
        for value in rng.integers(0, 2, VALUES, dtype=bool):
            setattr(sdr, name, bool(value))
            assert getattr(sdr, name) == value
        setattr(sdr, name, False)


def test_loopback(sdr, rng):
    for value in rng.integers(0, 3, VALUES):
        sdr.loopback = int(value)
        assert int(sdr.loopback) == value
    sdr.loopback = 0


def test_filter_file(sdr, tmp_path):
    file = tmp_path / "filter.ftr"
    file.write_text("# a filter\nRX 3 GAIN -6 DEC 2\nTX 3 GAIN 0 INT 2\n" + "5,-5\n" * 64)
    sdr.sample_rate = 3_000_000  # leaves the FIR on: the setter below switches it off first
    sdr._set_iio_attr("out", "voltage_filter_fir_en", False, 0)
    sdr.filter = str(file)
    assert sdr.filter == [64, 2, 64, 2]


def test_dds(sdr, rng):
    sdr.sample_rate = 4_000_000
    for _ in range(VALUES // 4):
        frequencies = [int(value) for value in rng.integers(0, 2_000_000, 4)]
        phases = [int(value) for value in rng.integers(0, 360_001, 4)]
        scales = [round(float(value), 6) for value in rng.uniform(0, 1, 4)]
        on = [bool(value) for value in rng.integers(0, 2, 4)]
        sdr.dds_frequencies, sdr.dds_phases, sdr.dds_scales, sdr.dds_enabled = frequencies, phases, scales, on
        step_hz = 4e6 / 2**16  # of the phase accumulator
        assert np.allclose([int(value) for value in sdr.dds_frequencies], frequencies, rtol=0, atol=step_hz / 2 + 1)
        assert [int(value) for value in sdr.dds_phases] == phases
        assert np.allclose([float(value) for value in sdr.dds_scales], scales, rtol=0, atol=2**-14)
        assert [bool(int(value)) for value in sdr.dds_enabled] == on
    sdr.disable_dds()
    assert all(value == "0" for value in sdr.dds_enabled)


def test_representation_names_every_key_property(sdr):
    text = repr(sdr)
    for name in ("rx_lo", "tx_hardwaregain_chan0", "sample_rate", "loopback"):
        assert name in text


def test_xo_correction(sdr, rng):
    """Not in pyadi's class, but through its context: what calibrate-xo needs."""
    attribute = sdr._ctrl.attrs["xo_correction"]
    for value in integers(rng, 39_992_000, 40_008_000):
        attribute.value = str(value)
        assert int(attribute.value) == value
    attribute.value = "40000000"

# SPDX-License-Identifier: GPL-3.0-or-later
"""The simplex limit against closed forms, its ends, its direction, and a simulation of real simplex signals."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ndtr

from semantic_models import CodecError
from semantic_models.channels import RICIAN_K_LIN
from semantic_models.limit import accuracy_limit, add_limits, faded_simplex_accuracy, simplex_accuracy

ENERGIES = np.array([0.0, 0.01, 0.3, 1.0, 4.0, 12.0])


def test_two_signals_are_antipodal():
    """M = 2: Q(sqrt(2 E / N0)) is the textbook's error rate of antipodal signals."""
    assert simplex_accuracy(2, ENERGIES) == pytest.approx(ndtr(np.sqrt(2 * ENERGIES)), abs=1e-12)


def test_two_orthogonal_signals_need_twice_the_energy():
    orthogonal = ndtr(np.sqrt(ENERGIES))
    assert simplex_accuracy(2, ENERGIES / 2) == pytest.approx(orthogonal, abs=1e-12)


def test_three_signals_are_three_phases():
    """A simplex of three signals is 3-PSK; Craig's integral for M-PSK is another formula for the same probability."""
    for energy in ENERGIES[1:]:
        error, _ = quad(lambda t, e=energy: np.exp(-e * (np.sin(np.pi / 3) / np.sin(t)) ** 2), 1e-12, 2 * np.pi / 3)
        assert simplex_accuracy(3, energy) == pytest.approx(1 - error / np.pi, abs=1e-9)


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_ends_and_direction(classes):
    assert simplex_accuracy(classes, 0.0) == pytest.approx(1 / classes, abs=1e-12)
    assert simplex_accuracy(classes, 1e3) == pytest.approx(1, abs=1e-12)
    assert np.all(np.diff(simplex_accuracy(classes, np.linspace(0, 15, 100))) > 0)
    assert np.all(simplex_accuracy(classes, ENERGIES[1:]) > simplex_accuracy(classes + 1, ENERGIES[1:]))


def test_simulated_simplex_signals():
    """Ten real simplex signals of equal energy, white noise, nearest signal decides: within 4 standard errors."""
    classes, count, rng = 10, 40_000, np.random.default_rng(5)
    simplex = np.eye(classes) - 1 / classes
    simplex /= np.linalg.norm(simplex[0])
    for energy in (0.5, 2.0, 5.0):
        sent = rng.integers(0, classes, count)
        received = np.sqrt(energy) * simplex[sent] + rng.normal(0, np.sqrt(0.5), (count, classes))  # N0 = 1
        measured = ((received @ simplex.T).argmax(1) == sent).mean()
        expected = float(simplex_accuracy(classes, energy))
        assert abs(measured - expected) < 4 * np.sqrt(expected * (1 - expected) / count)


def test_rayleigh_closed_form():
    """M = 2 over Rayleigh fading: the error rate is (1 - sqrt(g / (1 + g))) / 2."""
    for energy in (0.1, 1.0, 10.0, 1000.0):
        expected = 0.5 + 0.5 * np.sqrt(energy / (1 + energy))
        assert faded_simplex_accuracy(2, energy, "rayleigh") == pytest.approx(expected, abs=1e-9)


def test_rician_closed_form():
    """M = 2 over Rician fading: Simon and Alouini's integral over the moment generating function."""
    k = RICIAN_K_LIN
    for energy in (0.1, 1.0, 10.0):

        def mgf(t, e=energy):
            s = e / np.sin(t) ** 2
            return (1 + k) / (1 + k + s) * np.exp(-k * s / (1 + k + s))

        error = quad(mgf, 1e-9, np.pi / 2)[0] / np.pi
        assert faded_simplex_accuracy(2, energy, "rician") == pytest.approx(1 - error, abs=1e-7)


def test_figures_of_the_literature():
    """100 classes, 256 uses: at -10 dB the simplex loses nothing; 64 uses still decide 99 % right at -7 dB."""
    assert accuracy_limit(1.0, 100, -10.0, 256) > 0.9999
    assert accuracy_limit(1.0, 100, -7.0, 64) == pytest.approx(0.99, abs=0.01)


def test_fading_costs_and_selective_fading_does_not():
    awgn, rayleigh, rician, selective = (
        accuracy_limit(0.9, 10, 0.0, 8, channel) for channel in ("awgn", "rayleigh", "rician", "selective")
    )
    assert rayleigh < rician < awgn == selective < 0.9


def test_points_get_their_limits():
    point = {"channel": "awgn", "snr_db": 0.0, "budget": 8, "accuracy": 0.85, "ci95": [0, 1], "images": 9}
    result = add_limits({"clean_accuracy": 0.9, "points": [point]}, 10)
    limit = accuracy_limit(0.9, 10, 0.0, 8)
    assert result["points"][0] == point | {"limit": limit, "below_limit_points": pytest.approx(100 * (limit - 0.85))}


def test_one_class_is_no_decision():
    with pytest.raises(CodecError, match="1 classes"):
        simplex_accuracy(1, 1.0)

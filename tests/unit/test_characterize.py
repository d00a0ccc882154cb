# SPDX-License-Identifier: GPL-3.0-or-later
"""The measurements measure: known answers, verdicts that can fail, points that are kept."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from gr_semantic.characterize import doppler, genie, papr, payload_mse, qpsk_ber, runner, signals
from gr_semantic.characterize.registry import Effort, measurement_names, measurements
from gr_semantic.characterize.report import verdicts, write_report
from gr_semantic.characterize.signals import add_noise, bursts, found, gaussian
from gr_semantic.cli.main import main
from gr_semantic.errors import UserError
from gr_semantic.modem import Waveform, receive

WF = Waveform.load("ofdm64")
TINY = Effort(frames=3, noise_samples=60_000, quick=True)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """All measurements with hardly any frames: (folder, results)."""
    folder = tmp_path_factory.mktemp("tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("GR_SEMANTIC_DATA", raising=False)
        return folder, runner.run(WF, folder, TINY)


def test_every_measurement_gives_lines_and_every_point_a_file(tiny):
    folder, results = tiny
    lines = write_report(WF, folder, TINY, results)
    assert set(results) == set(measurement_names())
    assert len(list((folder / "points").glob("*.json"))) == sum(len(points) for points in results.values())
    text = (folder / "ofdm64.md").read_text()
    assert all(line.what in text for line in lines) and "A quick run" in text
    stored = json.loads((folder / "ofdm64.json").read_text())
    assert len(stored["table"]) == len(lines) and stored["waveform_digest"] == WF.digest
    for name in results:
        assert (folder / f"ofdm64-{name}.png").exists() == (measurements([name])[name].plot is not None)
    assert not list(folder.rglob("*.part"))


def test_what_lacks_data_or_samples_is_not_called_reached(tiny):
    lines = {line.what: line for line in verdicts(tiny[1])}
    assert lines["false frames on noise"].passed is None
    assert lines["false frames on 802.11 recordings"].passed is None
    assert "GR_SEMANTIC_DATA" in lines["own frames 10 dB above 802.11 recordings"].measured


def test_kept_points_are_not_measured_again_and_others_are(tiny, tmp_path, monkeypatch):
    folder, results = tiny
    monkeypatch.delenv("GR_SEMANTIC_DATA", raising=False)
    measured = []
    real = runner._measure
    monkeypatch.setattr(runner, "_measure", lambda *point: measured.append(point[1]) or real(*point))
    assert runner.run(WF, folder, TINY) == results and measured == []
    victim = next((folder / "points").glob("*payload_mse*"))
    kept = victim.read_text()
    victim.write_text(kept[:20])  # as a crash would leave it without the rename
    assert runner.run(WF, folder, TINY) == results and measured == ["payload_mse"]
    runner.run(WF, folder, Effort(4, 60_000, True), ("back_to_back",))
    assert measured == ["payload_mse", "back_to_back"]
    runner.code_digest.cache_clear()
    monkeypatch.setattr(runner, "code_digest", lambda *modules: "other code")
    runner.run(WF, folder, TINY, ("back_to_back",))
    assert measured[2:] == ["back_to_back"]


def test_several_processes_give_the_same(tiny, tmp_path):
    names = ("payload_mse", "papr")
    results = runner.run(WF, tmp_path, TINY, names, jobs=2)
    assert results == {name: tiny[1][name] for name in names}


def test_unknown_measurement(tmp_path):
    with pytest.raises(UserError, match="unknown measurement 'magic': known are detection_awgn"):
        runner.run(WF, tmp_path, TINY, ("magic",))


def test_command(tmp_path):
    args = ["characterize", "--quick", "--frames", "3", "--only", "back_to_back", "-o", str(tmp_path / "out")]
    result = CliRunner(mix_stderr=False).invoke(main, args)
    assert result.exit_code == 0, result.exception
    assert "3 of 3" in result.stdout and (tmp_path / "out" / "ofdm64.md").exists()


def worse(results, name, **changes):
    points = [(settings, {**result, **changes}) for settings, result in results[name]]
    return [line.passed for line in measurements([name])[name].judge(points)]


@pytest.mark.parametrize(
    "name, changes",
    [
        ("detection_awgn", {"detected": 0.94}),
        ("detection_multipath", {"detected": 0.9, "genie": 0.93}),
        ("payload_mse", {"mse_db": 3.0, "genie_db": 2.2}),
        ("qpsk_ber", {"ber": 0.3}),
        ("snr_estimate", {"bias_db": -0.4, "sigma_db": 0.9}),
        ("back_to_back", {"found": 2}),
        ("back_to_back", {"false": 1}),
    ],
)
def test_a_bad_number_fails_its_bar(tiny, name, changes):
    assert set(worse(tiny[1], name, **changes)) == {False}


def test_bars_against_a_reference(tiny):
    for name, key, special in (("clock_offsets", "mse_db", "sro_ppm"), ("doppler", "error_db", "doppler_hz")):
        points = [(s, {**r, key: -10.0 if s[special] else -13.0, "genie_db": -15.0}) for s, r in tiny[1][name]]
        assert [line.passed for line in measurements([name])[name].judge(points)] == [False]


def test_a_false_frame_fails_however_few_the_samples(tiny):
    assert worse(tiny[1], "false_frames", frames=1) == [False] * 3


def test_genie_knows_everything():
    """Without noise its symbols are those sent; with noise its error is the noise."""
    (burst,) = bursts(WF, np.random.default_rng(1), 6)
    for place, header in enumerate(burst.headers):
        told = genie.payload(WF, burst.samples, header, burst.starts[place], burst.cfo[place])
        assert np.mean(np.abs(told - burst.symbols[place]) ** 2) < 1e-8
    assert genie.right_headers(WF, burst.samples, burst.headers, burst.starts, burst.cfo).all()
    wrong = [header.__class__("feedback") for header in burst.headers]
    assert not genie.right_headers(WF, burst.samples, wrong, burst.starts, burst.cfo).any()
    result = payload_mse.measure(WF, {"snr_db": 12.0, "frames": 20, "seed": 1})
    assert abs(result["genie_db"] + 12) < 0.2 and result["genie_db"] < result["mse_db"] < -11


def test_found_counts_each_frame_once_and_others_as_false():
    rng = np.random.default_rng(2)
    (burst,) = bursts(WF, rng, 4)
    frames = receive(WF, add_noise(rng, burst.samples, 20))
    assert found(WF, burst, frames)[0].keys() == {0, 1, 2, 3}
    assert found(WF, burst, frames + frames[:1])[1] == 1
    right, false = found(WF, burst, frames, delay=WF.symbol_len + 1)
    assert (len(right), false) == (0, 4)


def test_rayleigh_taps_keep_the_definition_of_snr():
    """Mean power of the data carriers is 1 for every draw, as the genie's symbols see it."""
    rng = np.random.default_rng(4)
    (burst,) = bursts(WF, rng, 5, gap=(300, 301))
    samples, power = signals.over_rayleigh_taps(WF, rng, burst)
    assert np.allclose(power.mean(axis=1), 1) and power.std() > 0.2
    for place, header in enumerate(burst.headers):
        got = genie.payload(WF, samples, header, burst.starts[place], burst.cfo[place])
        assert np.mean(np.abs(got) ** 2) == pytest.approx(1, abs=0.15)
    told = receive(WF, add_noise(rng, samples, 20))
    assert all(abs(frame.snr_db - 20) < 1 for frame in told) and len(told) == 5


def test_signals():
    rng = np.random.default_rng(3)
    values = gaussian(rng, 100_000)
    assert values.dtype == np.complex64 and abs(np.mean(np.abs(values) ** 2) - 1) < 0.02
    assert abs(np.mean(values**2)) < 0.02  # circular
    noise = add_noise(rng, np.zeros(100_000, np.complex64), -6)
    assert abs(signals.decibels(np.mean(np.abs(noise) ** 2)) - 6) < 0.1
    total = list(bursts(WF, rng, 300, gap=(0, 0)))
    assert sum(len(burst) for burst in total) == 300 and len(total) > 1
    assert len({header.sequence for burst in total for header in burst.headers}) == 300


def test_bit_errors_against_theory():
    assert qpsk_ber.theory(9.59) == pytest.approx(1.27e-3, rel=0.02)  # Q(sqrt(9.1)), from a table
    for snr_db in (0.0, 4.0, 8.0):
        assert qpsk_ber.loss_db(snr_db, float(qpsk_ber.theory(snr_db - 0.3))) == pytest.approx(0.3, abs=1e-6)


def test_fading_genie_against_theory():
    """Mean of 1 / (1 + snr |h|^2) over Rayleigh fading: e^(1/snr) E1(1/snr) / snr, -13.9 dB at 20 dB."""
    result = doppler.measure(WF, {"doppler_hz": 0.0, "snr_db": 20.0, "frames": 150, "seed": 5})
    assert abs(result["genie_db"] + 13.9) < 2  # few draws, rare fades
    assert 0 < result["error_db"] - result["genie_db"] < 0.5


def test_peak_power():
    result = papr.measure(WF, {"frames": 40, "seed": 1, "limit_db": None})
    assert result["error_db"] is None
    assert 4.5 < result["preamble"]["peak_db"] < 5.5  # the waveform's file: 4.9 dB
    assert abs(result["payload"]["ccdf_db"] - 8.4) < 0.4 and result["preamble"]["mean_over_payload_db"] > 2
    limited = papr.measure(WF, {"frames": 40, "seed": 1, "limit_db": 7.0})
    assert limited["payload"]["peak_db"] < result["payload"]["peak_db"] - 1 and -34 < limited["error_db"] < -29

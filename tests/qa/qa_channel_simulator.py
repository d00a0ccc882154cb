# SPDX-License-Identifier: GPL-3.0-or-later
import shutil
import subprocess
import sys

import numpy as np
import pytest
import yaml
from bench import Bench, wait_until
from gnuradio import blocks, gr

from gr_semantic import paths
from gr_semantic.blocks.channel_simulator import ChannelSimulator
from gr_semantic.channel import ChannelConfig, Noise
from gr_semantic.errors import UserError

RATE_HZ = 1e6
MILD = {"snr_db": [[0, 20], [0.05, 5], [0.05, 15]], "cfo_hz": 868.0, "phase_noise_linewidth_hz": 1.0}


def run(samples, simulator, **source):
    """The block's output for samples through a flowgraph that runs to its end."""
    bench = Bench(simulator)
    bench.source = blocks.vector_source_c(samples.tolist(), **source)
    bench.sink = blocks.vector_sink_c()
    bench.connect(bench.source, simulator, bench.sink)
    bench.start()
    bench.wait()
    return np.array(bench.sink.data(), np.complex64), bench


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"snr_db": 10.0},
        MILD,
        {**MILD, "sro_ppm": 20.0},
        {**MILD, "sro_ppm": -1000.0, "multipath": "tdl-a:100ns", "fading": "doppler", "doppler_hz": 50.0},
        {"sro_ppm": 1000.0, "iq_gain_db": 0.5, "dc_offset_db": -30.0, "pa_backoff_db": 4.0, "delay_samples": 2.5},
    ],
)
def test_output_equals_the_channel_bit_for_bit(rng, fields):
    samples = rng.standard_normal((100_000, 2)).astype(np.float32).view(np.complex64)[:, 0]
    seen, bench = run(samples, ChannelSimulator(RATE_HZ, seed=3, **fields))
    expected = ChannelConfig(**fields).build(RATE_HZ, seed=3).process(samples)
    np.testing.assert_array_equal(seen.view(np.uint64), expected.view(np.uint64))
    assert bench["status"].pdus == []


def test_settings_from_a_file_a_dict_or_fields_are_the_same(rng, tmp_path):
    (tmp_path / "channel.yaml").write_text(yaml.safe_dump({**MILD, "cfo_hz": -5.0}))
    samples = rng.standard_normal((5000, 2)).astype(np.float32).view(np.complex64)[:, 0]
    expected = ChannelConfig(**MILD).build(RATE_HZ, seed=1).process(samples)
    for config in (str(tmp_path / "channel.yaml"), {**MILD, "cfo_hz": 9.0}, ChannelConfig(**MILD)):
        seen, _ = run(samples, ChannelSimulator(RATE_HZ, 1, config, cfo_hz=868.0))
        np.testing.assert_array_equal(seen, expected)


def test_tags_do_not_pass():
    tag = gr.python_to_tag((5, gr.pmt.intern("packet_len"), gr.pmt.from_long(7), gr.pmt.PMT_NIL))
    _, bench = run(np.ones(100, np.complex64), ChannelSimulator(RATE_HZ), tags=[tag])
    assert list(bench.sink.tags()) == []


@pytest.mark.parametrize(
    "fields", [{"snr": 3}, {"sro_ppm": 2000}, {"cfo_hz": 6e5}, {"config": 7}, {"config": "no/such.yaml"}]
)
def test_wrong_settings_are_refused(fields):
    with pytest.raises(UserError):
        ChannelSimulator(RATE_HZ, **fields)


class Endless(Bench):
    """A constant through the simulator, without end; ``last`` is the newest output sample."""

    def __init__(self, **fields):
        self.simulator = ChannelSimulator(RATE_HZ, **fields)
        super().__init__(self.simulator)
        self.source = blocks.vector_source_c([1], repeat=True)
        self.probe = blocks.probe_signal_c()
        self.connect(self.source, self.simulator, self.probe)

    @property
    def last(self):
        return self.probe.level()


def test_setters_reach_a_running_flowgraph():
    with Endless(sro_ppm=5.0) as bench:
        wait_until(lambda: abs(bench.last - 1) < 1e-3)
        bench.simulator.set_gain_db(-20)
        wait_until(lambda: abs(bench.last - 0.1) < 1e-3)
        bench.simulator.set_cfo_hz(1234.0)
        bench.simulator.set_sro_ppm(-5.0)
        wait_until(lambda: abs(bench.last.imag) > 0.05)
        bench.simulator.set_gain_db(-120)
        bench.simulator.set_snr_db([[0, -20]])
        wait_until(lambda: abs(bench.last) > 3)
        assert bench["status"].pdus == []


def test_wrong_values_at_run_time_are_reported_and_change_nothing():
    with Endless() as bench:
        bench.simulator.set_gain_db(1000)
        bench.simulator.set_cfo_hz(1e6)
        bench.simulator.set_snr_db("loud")
        bench.simulator.set_sro_ppm(0)
        bench.simulator.set_sro_ppm(5)
        metas = [meta for meta, _ in bench["status"].wait_for(4)]
        assert {meta["level"] for meta in metas} == {"warning"}
        for meta, text in zip(metas, ("gain_db", "cfo_hz", "snr_db", "sro_ppm was 0"), strict=True):
            assert text in meta["text"]
        wait_until(lambda: bench.last == 1)


def test_an_exception_ends_the_stream_and_is_reported():
    simulator = ChannelSimulator(RATE_HZ)

    class Broken:
        latency_samples = 0

        def process(self, samples):
            raise RuntimeError("broken on purpose")

        def input_limit(self, room):
            return room

    simulator.channel.impairments.append(Broken())
    _, bench = run(np.ones(10_000, np.complex64), simulator)
    assert "broken on purpose" in bench["status"].wait_for(1)[0][0]["text"]
    assert "broken on purpose" in simulator.error


@pytest.mark.parametrize("sro_ppm", [0.0, 300.0])
def test_stops_in_any_state(sro_ppm):
    never = Endless(snr_db=0.0, sro_ppm=sro_ppm)
    never.stop()
    never.wait()
    bench = Endless(snr_db=0.0, sro_ppm=sro_ppm)
    for _ in range(2):
        bench.start()
        wait_until(lambda: bench.last != 0)
        bench.stop()
        bench.wait()
    bench.stop()
    bench.wait()


def test_any_impairment_can_be_changed_while_it_runs():
    """The channel starts anew with the new setting; what was moved before stays, and a wrong value changes nothing."""
    block = ChannelSimulator(1e6, seed=3, snr_db=12, multipath="flat")
    block.set_snr_db(20)
    before = block.channel
    block.set_impairments({"multipath": "flat", "fading": "static"})
    assert block.channel is before
    block.set_impairments({"multipath": "nonsense"})
    assert block.channel is before
    block.set_impairments({"multipath": "tdl-a:500ns", "iq_gain_db": 1.0})
    sent = np.exp(2j * np.pi * 0.01 * np.arange(4000)).astype(np.complex64)
    expected = ChannelConfig(snr_db=20, multipath="tdl-a:500ns", iq_gain_db=1.0).build(1e6, 3).process(sent)
    np.testing.assert_array_equal(block.channel.process(sent), expected)


def test_block_description_fits_the_block():
    """Every setting of ChannelConfig is a parameter in Companion, and its callbacks exist."""
    described = yaml.safe_load((paths.GRC_BLOCKS / "semantic_channel_simulator.block.yml").read_text())
    names = {parameter["id"] for parameter in described["parameters"]}
    assert names == {"sample_rate_hz", "seed", *ChannelConfig.model_fields}
    assert all(f"${{{name}}}" in described["templates"]["make"] for name in names)
    for callback in described["templates"]["callbacks"]:
        assert callable(getattr(ChannelSimulator, callback.partition("(")[0]))
    assert described["category"] == "[Semantic Communication]"


GRC = """
options:
  parameters: {id: channel_check, generate_options: no_gui, run_options: run, title: channel}
  states: {state: enabled}
blocks:
- {name: samp_rate, id: variable, parameters: {value: '1e6'}, states: {state: enabled}}
- {name: snr, id: variable, parameters: {value: '10'}, states: {state: enabled}}
- {name: multipath, id: variable, parameters: {value: '"tdl-a:100ns"'}, states: {state: enabled}}
- {name: source, id: analog_const_source_x, parameters: {type: complex, const: '1'}, states: {state: enabled}}
- {name: head, id: blocks_head, parameters: {type: complex, num_items: '5000'}, states: {state: enabled}}
- name: channel
  id: semantic_channel_simulator
  parameters: {snr_db: snr, cfo_hz: '100', sro_ppm: '-3', multipath: multipath, fading: doppler, doppler_hz: '9',
    pa_backoff_db: '6'}
  states: {state: enabled}
- {name: sink, id: blocks_vector_sink_x, parameters: {type: complex}, states: {state: enabled}}
connections:
- [source, '0', head, '0']
- [head, '0', channel, '0']
- [channel, '0', sink, '0']
metadata: {file_format: 1}
"""


def test_companion_compiles_and_the_result_runs(tmp_path, monkeypatch):
    """A flowgraph made of the block description gives the samples of the channel, and moves with its variable."""
    (tmp_path / "channel.grc").write_text(GRC)
    monkeypatch.setenv("GRC_BLOCKS_PATH", str(paths.GRC_BLOCKS))
    command = [sys.executable, shutil.which("grcc"), "-o", tmp_path, tmp_path / "channel.grc"]
    compiled = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert compiled.returncode == 0, compiled.stdout + compiled.stderr
    monkeypatch.syspath_prepend(str(tmp_path))
    flowgraph = __import__("channel_check").channel_check()
    flowgraph.run()
    config = ChannelConfig(
        snr_db=10, cfo_hz=100, sro_ppm=-3, multipath="tdl-a:100ns", fading="doppler", doppler_hz=9, pa_backoff_db=6
    )
    expected = config.build(1e6).process(np.ones(5000, np.complex64))
    np.testing.assert_array_equal(np.array(flowgraph.sink.data(), np.complex64), expected)
    flowgraph.set_snr(-7)
    assert flowgraph.channel.channel.find(Noise).snr_db == -7
    flowgraph.set_multipath("tdl-c:300ns")  # a variable of the parameter's own name
    assert flowgraph.channel.config == config.model_copy(update={"snr_db": -7, "multipath": "tdl-c:300ns"})

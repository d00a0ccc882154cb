# SPDX-License-Identifier: GPL-3.0-or-later
"""The recorder in flowgraphs; and a run of the loop, recorded and replayed, bit for bit."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from bench import Bench, wait_until
from click.testing import CliRunner
from gnuradio import blocks, gr

from gr_semantic.blocks.sigmf_recorder import SigmfRecorder
from gr_semantic.cli.main import main
from gr_semantic.errors import UserError
from gr_semantic.link.config import LoopConfig
from gr_semantic.link.loop import LoopFlowgraph
from gr_semantic.link.loop_recording import LoopRecording
from gr_semantic.recording.decoders import Decoder
from gr_semantic.recording.namespace import own_fields
from gr_semantic.recording.replay_recording import replay, waveform_of
from gr_semantic.recording.sigmf_file import Recording
from semantic_models.testing import tiny_codec

FADE = ((0.0, 14.0), (0.3, 14.0), (0.35, -14.0), (0.45, -14.0), (0.5, 14.0))
FOUND = {
    "kind": "data", "link_id": 1, "sequence": 4, "snr_db": 10.0, "model_id16": 77, "budget": 4, "image_count": 2,
    "start_sample": 200, "frame_len": 700, "measured_snr_db": 9.5, "cfo_hz": 12.0, "sro_ppm": 0.5, "evm_db": -9.0,
}  # fmt: skip


def ramp(count):
    return (np.arange(count) * (1 - 1j)).astype(np.complex64)


def bench_of(recorder, samples, repeat=False):
    bench = Bench(recorder)
    bench.source = blocks.vector_source_c(samples, repeat)
    bench.connect(bench.source, recorder)
    return bench


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.sigmf-meta"


def test_samples_and_frames_of_a_stream(path, images):
    from gr_semantic.blocks.image_sets import register_images

    name = register_images(images)
    recorder = SigmfRecorder(path, 2e6, frequency_hz=915e6, gain_db=20.0, slot_len=1000, own={"seed": 9})
    bench = bench_of(recorder, ramp(5000))
    sent = {"slot": 0, "sequence": 4, "snr_db": 10.0, "budget": 4, "reported_snr_db": float("nan"), "images": name}
    bench.post("sent", sent, np.array([5, 6], np.int32))
    bench.post("sent", sent | {"slot": 1, "sequence": 5}, np.array([7, 8], np.int32))
    bench.post("sent", {"slot": 2})
    bench.post("frames", FOUND | {"noise_var": np.ones(8, np.float32)}, np.ones(8, np.complex64))
    bench.post("frames", FOUND, np.array([3, 4], np.int32))
    bench.post("frames", {"kind": "tick", "slot": 0})
    bench.post("frames", FOUND | {"start_sample": 4900})  # reaches beyond the end
    bench.post("frames", {"kind": "data"})
    bench.run()
    assert recorder.ended.is_set() and recorder.sample_count == 5000
    (warning,) = bench["status"].metas
    assert warning["level"] == "warning" and "start_sample" in warning["text"]
    with Recording(path) as recording:
        assert np.array_equal(np.concatenate(list(recording.chunks())), ramp(5000))
        assert recording.own["images"] == name and recording.own["images_sha256"] == images.content_hash
        assert recording.own["seed"] == 9 and recording.sample_rate_hz == 2e6
        (capture,) = recording.metadata["captures"]
        assert (capture["core:frequency"], capture["gr_semantic:gain_db"]) == (915e6, 20.0)
        found, lost = map(own_fields, recording.metadata["annotations"])
    assert found["predictions"] == [3, 4] and found["images"] == [5, 6] and found["measured_snr_db"] == 9.5
    assert found["labels"] == images.labels[[5, 6]].tolist()
    assert (lost["sequence"], lost["images"]) == (5, [7, 8]) and "measured_snr_db" not in lost


def test_gain_and_frequency_change_while_running(path):
    recorder = SigmfRecorder(path, 1e6, frequency_hz=1e9)
    with bench_of(recorder, ramp(64), repeat=True):
        wait_until(lambda: recorder.sample_count > 0)
        recorder.set_gain_db(33.0)
        wait_until(lambda: recorder.sample_count > recorder.recording._capture["core:sample_start"])
        recorder.set_frequency_hz(2e9)
    with Recording(path) as recording:
        known = [(c["core:frequency"], c.get("gr_semantic:gain_db")) for c in recording.metadata["captures"]]
        assert known == [(1e9, None), (1e9, 33.0), (2e9, 33.0)]
        assert not any(segment.gap for segment in recording.segments)


def test_a_file_that_cannot_be_written_ends_the_flowgraph(tmp_path):
    (tmp_path / "file").touch()
    bench = bench_of(SigmfRecorder(tmp_path / "file" / "a.sigmf-meta", 1e6), ramp(64), repeat=True)
    bench.start()
    bench.wait()  # the recorder ends, and so does its source
    (error,) = bench["status"].wait_for(1)
    assert error[0]["level"] == "error" and "cannot be written" in error[0]["text"]


def test_an_older_recording_is_kept_where_that_is_asked_for(path):
    for overwrite, wanted in ((True, 0), (True, 0), (False, 1)):
        bench = bench_of(SigmfRecorder(path, 1e6, overwrite=overwrite), ramp(64))
        bench.run()
        assert len(bench["status"].metas) == wanted


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"path": "a.wav"}, "expected a .sigmf-meta"),
        ({"sample_rate_hz": 0}, "sample_rate_hz is 0"),
        ({"datatype": "cu8"}, "datatype is cu8"),
        ({"full_scale": -1.0, "datatype": "ci16_le"}, "full_scale is -1.0"),
        ({"waveform": "none"}, "unknown waveform"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(UserError, match=message):
        SigmfRecorder(**({"path": "a.sigmf-meta", "sample_rate_hz": 1e6} | arguments))


def recorded_run(folder, codec, images, **settings):
    """Rows of a run, and its recordings of both directions."""
    rows = []
    config = LoopConfig(seconds=0.8, images_per_frame=4, trajectory=FADE, **settings)
    loop = LoopFlowgraph(config, codec, images, rows.append)
    recording = LoopRecording(loop, folder / "a.sigmf-meta", folder / "b.sigmf-meta")
    loop.start()
    assert loop.wait_finished(120)
    recording.finish()
    assert loop.error is None and recording.error is None
    return rows, folder / "a.sigmf-meta", folder / "b.sigmf-meta"


def replayed(path, codec=None):
    with Recording(path) as recording:
        decoder = None if codec is None else Decoder("its own", codec)
        return replay(recording, waveform_of(recording), recording.sample_rate_hz, decoder)


@pytest.fixture(scope="module")
def run(codec, images, tmp_path_factory):
    return recorded_run(tmp_path_factory.mktemp("run"), codec, images)


def test_a_replay_gives_the_frames_and_predictions_of_the_run_bit_for_bit(run, codec):
    rows, forward, _ = run
    received = [row for row in rows if row.received]
    assert 0 < len(received) < len(rows)
    result = replayed(forward, codec)
    assert result.expected == len(rows) and result.false == 0
    assert result.lost == [row.sequence for row in rows if not row.received]
    assert result.identical == result.run_frames == len(received)
    for row, frame in zip(received, result.frames, strict=True):
        was = (row.sequence, row.snr_measured_db, row.cfo_hz, row.sro_ppm, row.evm_db, list(row.predicted))
        now = [frame[key] for key in ("sequence", "snr_db", "cfo_hz", "sro_ppm", "evm_db", "predictions")]
        assert list(was) == now  # equal, not nearly


def test_the_feedback_too(run):
    rows, _, reverse = run
    result = replayed(reverse)
    heard = [row.slot for row in rows if row.feedback_received]
    assert [frame["sequence"] for frame in result.frames] == heard
    assert result.expected == sum(row.feedback_sent for row in rows) and result.false == 0
    assert result.identical == result.run_frames == len(heard)
    for frame in result.frames:
        acked = rows[frame["feedback"]["acked_sequence"]]
        assert frame["feedback"]["snr_db"] == pytest.approx(acked.snr_measured_db, abs=0.126)


def test_a_changed_sample_is_not_the_same_run(run, codec, tmp_path):
    """The check above can fail: one sample in a thousand, a part in ten thousand louder."""
    path = run[1]
    samples = np.fromfile(path.with_suffix(".sigmf-data"), "<c8")
    samples[::1000] *= 1.0001
    metadata = json.loads(path.read_text())
    del metadata["global"]["core:sha512"]
    (tmp_path / "c.sigmf-meta").write_text(json.dumps(metadata))
    samples.tofile(tmp_path / "c.sigmf-data")
    result = replayed(tmp_path / "c.sigmf-meta", codec)
    assert result.found == result.run_frames > result.identical


@pytest.fixture
def tiny(tmp_path):
    return str(tiny_codec(tmp_path / "tiny"))


def test_record_and_replay_as_commands(tmp_path, tiny, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = ["--codec", tiny, "--images", "synthetic:64", "--seconds", "0.3"]
    runner = CliRunner(mix_stderr=False)
    command = ["record", "loop", *settings, "-o", "a.sigmf-meta", "--reverse", "b.sigmf-meta", "--datatype", "ci16_le"]
    done = runner.invoke(main, command)
    assert done.exit_code == 0, done.stderr
    for name, least in (("a.sigmf-meta", 15), ("b.sigmf-meta", 10)):  # feedback is 6 dB weaker
        found = json.loads(runner.invoke(main, ["replay", name, "--json"]).stdout)
        assert found["frames_expected"] == 15 >= found["frames_found"] >= least
    assert "exists already" in runner.invoke(main, command).stderr
    done = runner.invoke(main, ["demo", *settings, "--record", "--out", "run"])
    assert done.exit_code == 0, done.stderr
    text = runner.invoke(main, ["replay", "run/air.sigmf-meta"]).stdout
    assert "as in the run, to the last bit: 15 of 15 frames" in text
    again = runner.invoke(main, ["demo", *settings, "--out", "run"])
    assert again.exit_code == 0 and not (tmp_path / "run" / "air.sigmf-meta").exists()


def test_kill_9_during_a_run(tmp_path, tiny):
    path = tmp_path / "a.sigmf-meta"
    command = [sys.executable, "-m", "gr_semantic.cli.main", "record", "loop", "--seconds", "3600", "--codec", tiny]
    process = subprocess.Popen(
        [*command, "--images", "synthetic:64", "-o", str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for_frames(process, path, 10)
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    finally:
        process.kill()
    result = CliRunner(mix_stderr=False).invoke(main, ["replay", str(path), "--json"])
    assert "was never finished" in result.stderr
    found = json.loads(result.stdout)
    assert found["frames_found"] >= found["frames_identical"] == decoded(path) >= 10
    assert found["frames_false"] == 0


def decoded(path):
    """Frames whose predictions an unfinished recording vouches for."""
    try:
        with Recording(path) as recording:
            return sum("gr_semantic:predictions" in annotation for annotation in recording.metadata["annotations"])
    except UserError:
        return 0


def wait_for_frames(process, path, count):
    while decoded(path) < count:
        assert process.poll() is None
        time.sleep(0.2)


def test_ctrl_c_ends_a_recording_cleanly(tmp_path, tiny):
    path = tmp_path / "a.sigmf-meta"
    command = [sys.executable, "-m", "gr_semantic.cli.main", "record", "loop", "--seconds", "3600", "--codec", tiny]
    process = subprocess.Popen([*command, "--images", "synthetic:64", "-o", str(path)], stderr=subprocess.PIPE)
    try:
        wait_for_frames(process, path, 3)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, stderr
    with Recording(path) as recording:
        assert not recording.unfinished and "core:sha512" in recording.metadata["global"]


def test_a_recorder_that_ends_does_not_hang_the_loop(tmp_path, codec, images):
    (tmp_path / "file").touch()
    loop = LoopFlowgraph(LoopConfig(seconds=0.3, images_per_frame=4), codec, images)
    recording = LoopRecording(loop, tmp_path / "file" / "a.sigmf-meta")
    loop.start()
    wait_until(lambda: recording.error)
    recording.finish()
    assert "cannot be written" in recording.error


def test_two_directions_need_two_files(codec, images, tmp_path):
    loop = LoopFlowgraph(LoopConfig(seconds=0.3, images_per_frame=4), codec, images)
    with pytest.raises(UserError, match="need a file each"):
        LoopRecording(loop, tmp_path / "a.sigmf-meta", tmp_path / "a.sigmf-meta")
    assert isinstance(loop, gr.top_block)

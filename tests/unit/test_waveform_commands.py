# SPDX-License-Identifier: GPL-3.0-or-later
"""modulate | channel | replay: files and pipes, truth, keys, users' mistakes."""

import json
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from click.testing import CliRunner

from gr_semantic.cli.main import main
from gr_semantic.modem import Waveform
from gr_semantic.recording.frame_truth import FrameTruth, TruthTable
from gr_semantic.recording.replay_recording import replay
from gr_semantic.recording.sigmf_file import Recording, RecordingWriter

KEYS = {"frames_expected", "frames_found", "frames_false", "frames_identical", "accuracy", "ber", "frames"}
FRAME_KEYS = {
    "kind", "sequence", "start_sample", "snr_db", "cfo_hz", "sro_ppm", "evm_db", "predictions", "feedback",
}  # fmt: skip


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*args, exit_code=0):
        result = CliRunner(mix_stderr=False).invoke(main, [str(arg) for arg in args])
        assert result.exit_code == exit_code, (result.stderr, result.exception)
        return result

    return run


def replayed(run, name, *args):
    found = json.loads(run("replay", name, "--json", *args).stdout)
    assert set(found) == KEYS and all(set(frame) == FRAME_KEYS for frame in found["frames"])
    return found


def test_images_through_a_channel(run, zoo_codec):
    run("modulate", "--dataset", "synthetic:120", "--budget", 16, "--images-per-frame", 50, "-o", "tx.sigmf-meta")
    channel = ["--snr-db", 12, "--cfo-hz", 2000, "--sro-ppm", 30, "--model", "tdl-a:100ns", "--doppler-hz", 5]
    run("channel", "tx.sigmf-meta", *channel, "--seed", 3, "-o", "rx.sigmf-meta")
    found = replayed(run, "rx.sigmf-meta")
    assert (found["frames_expected"], found["frames_found"], found["frames_false"]) == (3, 3, 0)
    assert found["ber"] is None
    assert [len(frame["predictions"]) for frame in found["frames"]] == [50, 50, 20]
    with Recording("rx.sigmf-meta") as recording:
        truths = [FrameTruth.from_annotation(a) for a in recording.metadata["annotations"]]
        applied = recording.own["channels"]
    right = np.concatenate([np.equal(t.labels, f["predictions"]) for t, f in zip(truths, found["frames"], strict=True)])
    assert found["accuracy"] == pytest.approx(right.mean())
    assert [t.images[0] for t in truths] == [0, 50, 100]
    for truth, frame in zip(truths, found["frames"], strict=True):
        assert abs(frame["cfo_hz"] - 2000) < 60 and abs(truth.start_sample - frame["start_sample"]) <= 4
    assert applied[0]["seed"] == 3
    assert applied[0]["config"] == {
        "snr_db": 12.0, "cfo_hz": 2000.0, "sro_ppm": 30.0, "multipath": "tdl-a:100ns", "fading": "doppler",
        "doppler_hz": 5.0,
    }  # fmt: skip


def test_accuracy_is_that_of_the_codec_alone_where_there_is_no_channel(run, zoo_codec):
    from semantic_models import load_images

    run("modulate", "--dataset", "synthetic:96", "--budget", 8, "-o", "tx.sigmf-meta")
    images = load_images("synthetic:96")
    logits = zoo_codec.decode(zoo_codec.encode(images.images, 10.0, 8), 0.0)
    alone = (logits.argmax(axis=1) == images.labels).mean()
    assert replayed(run, "tx.sigmf-meta")["accuracy"] == pytest.approx(alone, abs=0.021)


def test_pipes():
    command = (
        "gr-semantic modulate --qpsk --frames 3 -o - | gr-semantic channel - --snr-db 30 -o - "
        "| gr-semantic replay - --json"
    )
    command = command.replace("gr-semantic", f"{sys.executable} -m gr_semantic.cli.main")
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["frames_expected"], found["frames_found"], found["ber"]) == (3, 3, 0.0)


def test_qpsk_truth_is_the_seed(run):
    run("modulate", "--qpsk", "--frames", 40, "--seed", 5, "--waveform", "ofdm256", "-o", "tx.sigmf")
    run("channel", "tx.sigmf", "--snr-db", 4, "-o", "rx.sigmf")
    found = replayed(run, "rx.sigmf")
    assert found["frames_found"] == 40 and found["accuracy"] is None
    assert 0.045 < found["ber"] < 0.075  # theory 0.0565
    assert all(frame["predictions"] is None for frame in found["frames"])
    text = run("replay", "rx.sigmf").stdout
    assert "frames found: 40 of 40" in text and "bit error rate" in text and "... and 30 more" in text


def test_lost_and_false_frames_are_counted(run):
    run("modulate", "--qpsk", "--frames", 6, "--gap", 300, "-o", "tx.sigmf-meta")
    with Recording("tx.sigmf-meta") as recording, RecordingWriter("rx.sigmf-meta") as writer:
        annotations = recording.metadata["annotations"]
        (samples,) = recording.chunks()
        samples = samples.copy()
        for lost in (1, 4):
            samples[annotations[lost]["core:sample_start"] :][:600] = 0
        writer.write(samples)
        writer.finish(1e6, recording.own, annotations[:3] + annotations[4:])  # nobody has sent frame 3
    found = replayed(run, "rx.sigmf-meta")
    assert (found["frames_expected"], found["frames_found"], found["frames_false"]) == (5, 4, 1)
    assert "frames false: 1; lost: 1, 4" in run("replay", "rx.sigmf-meta").stdout


def test_a_recording_without_truth(run):
    run("modulate", "--qpsk", "--frames", 2, "-o", "tx.sigmf-meta")
    with Recording("tx.sigmf-meta") as recording, RecordingWriter("foreign.sigmf-meta") as writer:
        for samples in recording.chunks():
            writer.write(samples)
        writer.finish(1e6, {}, [{"core:sample_start": 10, "core:label": "someone else's"}])
    assert "give --waveform" in run("replay", "foreign.sigmf-meta", exit_code=2).stderr
    found = replayed(run, "foreign.sigmf-meta", "--waveform", "ofdm64")
    assert found["frames_found"] == 2
    assert [found[key] for key in ("frames_expected", "frames_false", "accuracy", "ber")] == [None] * 4


def test_a_waveform_from_a_file_travels_with_the_recording(run, tmp_path):
    import yaml

    own = Waveform.load("ofdm64").model_dump() | {"name": "mine", "header_symbols": 20}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(own))
    run("modulate", "--qpsk", "--frames", 2, "--waveform", "mine.yaml", "-o", "tx.sigmf-meta")
    (tmp_path / "mine.yaml").unlink()
    assert replayed(run, "tx.sigmf-meta")["frames_found"] == 2
    assert replayed(run, "tx.sigmf-meta", "--waveform", "ofdm64")["frames_found"] == 0


def test_non_finite_samples_are_reported(run):
    run("modulate", "--qpsk", "--frames", 3, "-o", "tx.sigmf-meta")
    with Recording("tx.sigmf-meta") as recording, RecordingWriter("bad.sigmf-meta") as writer:
        (samples,) = recording.chunks()
        samples = samples.copy()
        samples[[5, 900]] = np.nan, np.inf
        writer.write(samples)
        writer.finish(1e6, recording.own, recording.metadata["annotations"])
    for command in (["replay", "bad.sigmf-meta", "--json"], ["channel", "bad.sigmf-meta", "-o", "out.sigmf-meta"]):
        assert "2 samples are NaN or infinite" in run(*command).stderr
    assert replayed(run, "bad.sigmf-meta")["frames_found"] == replayed(run, "out.sigmf-meta")["frames_found"] == 3


@pytest.mark.parametrize(
    "args, message",
    [
        (["replay", "none.sigmf-meta"], "none.sigmf-meta: cannot be read"),
        (["channel", "none.sigmf-meta", "-o", "x.sigmf-meta"], "none.sigmf-meta: cannot be read"),
        (["channel", "tx.sigmf-meta", "-o", "x.wav"], "expected a .sigmf-meta"),
        (["channel", "tx.sigmf-meta", "-o", "x.sigmf-meta", "--model", "tdl-z:1ns"], "multipath is 'tdl-z:1ns'"),
        (["channel", "tx.sigmf-meta", "-o", "x.sigmf-meta", "--snr-db", "loud"], "'loud' is neither"),
        (["channel", "tx.sigmf-meta", "-o", "x.sigmf-meta", "--cfo-hz", "1e8"], "cfo_hz is 1e"),
        (["modulate", "--qpsk", "-o", "x.sigmf-meta", "--budget", "256"], "do not fit into a frame"),
        (["modulate", "--qpsk", "-o", "x.sigmf-meta", "--frames", "0"], "frames"),
        (["modulate", "--dataset", "none", "-o", "x.sigmf-meta"], "'none': no such folder or set"),
        (["modulate", "--budget", "5", "-o", "x.sigmf-meta"], "unknown budget 5"),
        (["replay", "tx.sigmf-meta", "--waveform", "none"], "unknown waveform 'none'"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(run, args, message):
    run("modulate", "--qpsk", "--frames", 1, "-o", "tx.sigmf-meta")
    result = run(*args, exit_code=2)
    assert message in result.stderr and result.stdout == ""
    assert "Traceback" not in result.stderr


def test_another_models_recording(run, zoo_codec):
    run("modulate", "--dataset", "synthetic:8", "-o", "tx.sigmf-meta")
    with Recording("tx.sigmf-meta") as recording, RecordingWriter("other.sigmf-meta") as writer:
        writer.write(next(recording.chunks()))
        writer.finish(1e6, {**recording.own, "model_id": "f" * 64}, recording.metadata["annotations"])
    assert "was encoded by model ffff" in run("replay", "other.sigmf-meta", exit_code=2).stderr


def test_an_annotation_that_describes_no_frame(run):
    run("modulate", "--qpsk", "--frames", 1, "-o", "tx.sigmf-meta")
    with Recording("tx.sigmf-meta") as recording, RecordingWriter("odd.sigmf-meta") as writer:
        writer.write(next(recording.chunks()))
        (annotation,) = recording.metadata["annotations"]
        writer.finish(1e6, recording.own, [annotation | {"gr_semantic:budget": "many"}])
    message = run("replay", "odd.sigmf-meta", exit_code=2).stderr
    assert "odd.sigmf-meta: the annotation at sample 1000: gr_semantic:budget is 'many', expected integer" in message


def test_delays_cut_no_frame_off(run):
    """Frames up to the last sample, delayed by filters and by request, clocks that differ: all are still there."""
    run("modulate", "--qpsk", "--frames", 30, "--gap", 0, "-o", "tx.sigmf-meta")
    delays = ["--delay-samples", 300.5, "--sro-ppm", -40, "--model", "tdl-a:300ns", "--unit-power", "--snr-db", 25]
    run("channel", "tx.sigmf-meta", *delays, "-o", "rx.sigmf-meta")
    found = replayed(run, "rx.sigmf-meta")
    assert (found["frames_expected"], found["frames_found"], found["frames_false"]) == (30, 30, 0)


def test_a_trajectory_of_snr(run):
    run("modulate", "--qpsk", "--frames", 20, "-o", "tx.sigmf-meta")
    run("channel", "tx.sigmf-meta", "--snr-db", "0:25,0.04:25,0.04:-20", "-o", "rx.sigmf-meta")
    found = replayed(run, "rx.sigmf-meta")
    assert 0 < found["frames_found"] < 20 and max(frame["start_sample"] for frame in found["frames"]) < 40_000


def test_a_frame_counts_once_and_only_where_it_should_be():
    wf = Waveform.load("ofdm64")
    truth = FrameTruth(1000, 2000, 7, 16, 4, 10.0, qpsk=[1, 0])
    table = TruthTable(wf, [truth.to_annotation(), {"core:sample_start": 0}])

    def found(sequence, start):
        header = type("H", (), {"kind": "data", "sequence": sequence, "budget": 16, "image_count": 4})
        return type("F", (), {"header": header, "start_sample": start})

    assert table.expected == 1
    assert table.match(found(7, 1000 + wf.symbol_len + 1)) is None
    assert table.match(found(8, 1000)) is None
    assert table.lost == [truth]
    assert table.match(found(7, 1010)) == truth
    assert table.match(found(7, 1010)) is None and table.lost == []


def test_memory_does_not_grow_with_the_recording(tmp_path):
    """64 MB of samples; the replay holds a few chunks (of 8 MB each) at a time."""
    wf = Waveform.load("ofdm64")
    with RecordingWriter(tmp_path / "long.sigmf-meta") as writer:
        for _ in range(64):
            writer.write(np.zeros(1 << 17, np.complex64))
        writer.finish(1e6, {}, [])
    with Recording(tmp_path / "long.sigmf-meta") as recording:
        tracemalloc.start()
        replay(recording, wf, 1e6)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 45e6

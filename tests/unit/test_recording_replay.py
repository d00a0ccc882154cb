# SPDX-License-Identifier: GPL-3.0-or-later
"""Replay of whatever people bring: data types, sample rates, bare files, several captures, other models, long files."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file, save_file

from gr_semantic.cli.main import main
from gr_semantic.modem import Header, Waveform, modulate
from gr_semantic.paths import ROOT, ZOO
from gr_semantic.recording.decoders import decoder_of
from gr_semantic.recording.namespace import known_fields
from gr_semantic.recording.replay_recording import replay
from gr_semantic.recording.resampler import Resampler
from gr_semantic.recording.sigmf_file import RawRecording, Recording, RecordingWriter

IMAGES = "fashion-mnist:test[0:96]"
WF = Waveform.load("ofdm64")
COMPONENTS = {"f32": "f4", "f64": "f8", "i8": "i1", "i16": "i2", "i32": "i4", "u8": "u1", "u16": "u2", "u32": "u4"}
DATATYPES = [
    f"c{name}{end}" for name, kind in COMPONENTS.items() for end in (("",) if kind[1] == "1" else ("_le", "_be"))
]


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*args, exit_code=0):
        result = CliRunner(mix_stderr=False).invoke(main, [str(arg) for arg in args])
        assert result.exit_code == exit_code, (result.stderr, result.exception)
        return result

    return run


def air(frames=4, gap=500):
    """Data frames with random symbols between silences, with a little noise; and where they start."""
    rng = np.random.default_rng(3)
    pieces, starts, position = [np.zeros(gap, np.complex64)], [], gap
    for sequence in range(frames):
        symbols = rng.standard_normal((8, 16, 2)).astype(np.float32).view(np.complex64)[..., 0] * np.sqrt(0.5)
        samples = modulate(WF, Header("data", 1, sequence, budget=16, image_count=8), symbols.astype(np.complex64))
        starts.append(position)
        pieces += [samples, np.zeros(gap, np.complex64)]
        position += len(samples) + gap
    samples = np.concatenate(pieces)
    noise = rng.standard_normal((len(samples), 2)).astype(np.float32).view(np.complex64)[:, 0]
    return samples + 0.02 * noise, starts


def as_bytes(samples, datatype, full_scale=8.0):
    """complex64 as the bytes of a SigMF type."""
    name, _, end = datatype[1:].partition("_")
    values = samples.view(np.float32) / full_scale
    kind = np.dtype(COMPONENTS[name]).newbyteorder({"be": ">", "le": "<", "": "="}[end])
    if kind.kind == "f":
        return values.astype(kind).tobytes()
    half = 2.0 ** (8 * kind.itemsize - 1)
    return (np.rint(values.astype(float) * (half - 1)) + (half if kind.kind == "u" else 0)).astype(kind).tobytes()


@pytest.mark.parametrize("datatype", DATATYPES)
def test_every_complex_type_in_both_byte_orders(tmp_path, datatype):
    samples, starts = air(2)
    (tmp_path / "a.bin").write_bytes(as_bytes(samples, datatype))
    recording = RawRecording(tmp_path / "a.bin", datatype, 1e6)
    found = np.concatenate(list(recording.chunks(999)))
    bits = 7 if "8" in datatype else 15
    assert np.abs(found * 8 - samples).max() < 8 * 1.5 * 2.0**-bits
    result = replay(recording, WF, 1e6)
    assert [row["start_sample"] for row in result.frames] == starts


@pytest.mark.parametrize("datatype", ["rf32_le", "ri16_le", "ru8"])
def test_real_samples_are_refused(run, datatype):
    Path("a.bin").write_bytes(bytes(64))
    arguments = ["a.bin", "--datatype", datatype, "--sample-rate", 1e6, "--waveform", "ofdm64"]
    assert "real samples; complex ones" in run("replay", *arguments, exit_code=2).stderr


@pytest.mark.parametrize(
    "content, arguments, message",
    [
        (bytes(8001), ["--datatype", "cf32_le"], "8001 bytes are no whole number of cf32_le samples"),
        (bytes(7), ["--datatype", "ci16_be"], "7 bytes are no whole number of ci16_be samples"),
        (b"", ["--datatype", "cf32_le"], "holds no samples"),
        (bytes(80), ["--datatype", "cf24"], "datatype is cf24, expected a complex type"),
        (bytes(80), ["--datatype", "complex64"], "datatype is complex64, expected a complex type"),
        (bytes(80), [], "expected a .sigmf-meta file"),
        (bytes(80), ["--datatype", "cf32_le", "--sample-rate", "0"], "--sample-rate is 0"),
        (bytes(80), ["--datatype", "cf32_le", "--waveform-rate", "nan"], "--waveform-rate is nan"),
        (bytes(80), ["--datatype", "cf32_le", "--compare", "fashion-mnist"], "give --codec beside --compare"),
    ],
)
def test_bare_files_and_their_mistakes(run, content, arguments, message):
    Path("a.bin").write_bytes(content)
    arguments = arguments if "--sample-rate" in arguments else [*arguments, "--sample-rate", "1e6"]
    result = run("replay", "a.bin", "--waveform", "ofdm64", *arguments, exit_code=2)
    assert message in result.stderr and result.stderr.count("\n") == 1 and result.stdout == ""


def test_bare_files_need_a_rate_and_a_waveform(run):
    Path("a.bin").write_bytes(as_bytes(air(2)[0], "ci16_le"))
    arguments = ["replay", "a.bin", "--datatype", "ci16_le"]
    assert "give --sample-rate" in run(*arguments, "--waveform", "ofdm64", exit_code=2).stderr
    assert "give --waveform" in run(*arguments, "--sample-rate", 1e6, exit_code=2).stderr
    assert "is a SigMF archive" in run("replay", "-", "--datatype", "cu8", exit_code=2).stderr
    assert "cannot be read" in run("replay", "b.bin", "--datatype", "cu8", "--sample-rate", 1, exit_code=2).stderr
    found = json.loads(run(*arguments, "--sample-rate", 1e6, "--waveform", "ofdm64", "--json").stdout)
    assert found["frames_found"] == 2


@pytest.mark.parametrize("rate_hz", [1.25e6, 2e6, 2.4e6, 5e6, 0.92e6, 2_083_334.0])
def test_other_sample_rates(run, rate_hz):
    """A receiver that ran at another rate: the same frames at the same times, the same carrier offset in Hz."""
    samples, starts = air(4)
    samples = samples * np.exp(2j * np.pi * 2000 / 1e6 * np.arange(len(samples)))
    resampler = Resampler(1e6, rate_hz)
    samples = np.concatenate([resampler.process(samples.astype(np.complex64)), resampler.flush()])
    with RecordingWriter("a.sigmf-meta") as writer:
        writer.write(samples)
        writer.finish(rate_hz, {"waveform": WF.model_dump(), "waveform_rate_hz": 1e6}, [])
    rows = json.loads(run("replay", "a.sigmf-meta", "--json").stdout)["frames"]
    assert [row["sequence"] for row in rows] == [0, 1, 2, 3]
    for row, start in zip(rows, starts, strict=True):
        assert abs(row["start_sample"] - start * rate_hz / 1e6) <= 1 + rate_hz / 1e6
        assert row["cfo_hz"] == pytest.approx(2000, abs=20)
        assert row["snr_db"] > 20
    assert json.loads(run("replay", "a.sigmf-meta", "--json", "--waveform-rate", rate_hz).stdout)["frames_found"] == 0


@pytest.mark.parametrize("from_hz, to_hz", [(2.5e6, 1e6), (1e6, 3e6), (1.92e6, 1e6), (1_000_100.0, 1e6)])
def test_resampling_does_not_depend_on_the_cuts_and_keeps_a_tone(from_hz, to_hz):
    rng = np.random.default_rng(1)
    tone = np.exp(2j * np.pi * 0.3e6 / from_hz * np.arange(20_000)).astype(np.complex64)
    resampler = Resampler(from_hz, to_hz)
    whole = np.concatenate([resampler.process(tone), resampler.flush()])
    cuts = np.sort(rng.integers(0, len(tone), 60))
    parts = [resampler.process(part) for part in np.split(tone, cuts)]
    assert np.array_equal(np.concatenate([*parts, resampler.flush()]), whole)
    assert len(whole) == pytest.approx(len(tone) * to_hz / from_hz, abs=2)
    ideal = np.exp(2j * np.pi * 0.3e6 / (from_hz * float(resampler.ratio)) * np.arange(len(whole)))
    assert np.abs(whole - ideal)[100:-100].max() < 1e-3
    assert float(resampler.ratio) == pytest.approx(to_hz / from_hz, rel=15e-6)


def test_resampling_removes_what_would_fold_into_the_band():
    outside = np.exp(2j * np.pi * 0.62e6 / 2e6 * np.arange(20_000)).astype(np.complex64)
    resampler = Resampler(2e6, 1e6)
    assert np.abs(resampler.process(outside)[100:]).max() < 10 ** (-60 / 20)


def test_samples_that_are_not_finite_spoil_no_neighbours(run):
    samples, _ = air(4)
    resampler = Resampler(1e6, 2e6)
    samples = np.concatenate([resampler.process(samples), resampler.flush()])
    samples[[10, 20]] = np.nan, np.inf  # in the silence
    with RecordingWriter("a.sigmf-meta") as writer:
        writer.write(samples)
        writer.finish(2e6, {"waveform": WF.model_dump(), "waveform_rate_hz": 1e6}, [])
    result = run("replay", "a.sigmf-meta", "--json")
    assert json.loads(result.stdout)["frames_found"] == 4
    assert "2 samples are NaN or infinite" in result.stderr


def two_captures(second):
    """A recording that lost 700 samples within frame 1, its second capture as given."""
    samples, starts = air(4)
    lost = starts[1] + 900
    with RecordingWriter("a.sigmf-meta") as writer:
        writer.write(np.concatenate([samples[:lost], samples[lost + 700 :]]))
        captures = [{"core:sample_start": 0, "core:global_index": 0}, {"core:sample_start": lost, **second}]
        writer.finish(1e6, {"waveform": WF.model_dump()}, [], captures)
    return starts, lost


@pytest.mark.parametrize("second", [{}, {"core:global_index": 1}, {"core:frequency": 1e9}])
def test_no_frame_reaches_over_a_gap(run, second):
    starts, _ = two_captures(second)
    found = json.loads(run("replay", "a.sigmf-meta", "--json").stdout)
    wanted = [starts[0], starts[2] - 700, starts[3] - 700]
    assert [row["start_sample"] for row in found["frames"]] == wanted
    assert "gaps in the recording: 1" in run("replay", "a.sigmf-meta").stdout


def test_captures_that_follow_without_a_gap_cut_no_frame(run):
    samples, starts = air(4)
    with RecordingWriter("a.sigmf-meta") as writer:
        writer.write(samples)
        places = [0, starts[1] + 900, starts[3] + 5]
        captures = [{"core:sample_start": place, "core:global_index": place + 77} for place in places]
        writer.finish(1e6, {"waveform": WF.model_dump()}, [], captures)
    found = json.loads(run("replay", "a.sigmf-meta", "--json").stdout)
    assert [row["start_sample"] for row in found["frames"]] == starts


@pytest.mark.parametrize("starts", [[0, 900, 300], [0, 10**9]])
def test_captures_in_disorder(run, starts):
    with RecordingWriter("a.sigmf-meta") as writer:
        writer.write(air(1)[0])
        writer.finish(1e6, {"waveform": WF.model_dump()}, [], [{"core:sample_start": 0}])
    metadata = json.loads(Path("a.sigmf-meta").read_text())
    metadata["captures"] = [{"core:sample_start": start} for start in starts]
    Path("a.sigmf-meta").write_text(json.dumps(metadata))
    message = run("replay", "a.sigmf-meta", exit_code=2).stderr
    assert "a.sigmf-meta" in message and ("captures begin at" in message or "captures" in message)


WRONG = {
    "integer": "x",
    "number": "x",
    "string": 7,
    "object": "x",
    "array": 7,
}


@pytest.mark.parametrize("part", ["global", "captures", "annotations"])
def test_every_field_of_ours_is_checked_on_reading_and_documented(run, part):
    text = (ROOT / "docs" / "recordings.md").read_text()
    with RecordingWriter("a.sigmf-meta") as writer:
        writer.write(air(1)[0])
        writer.finish(1e6, {"waveform": WF.model_dump()}, [{"core:sample_start": 5}])
    whole = json.loads(Path("a.sigmf-meta").read_text())
    for name, schema in known_fields()[part].items():
        assert re.search(rf"`{name}`", text), f"docs/recordings.md does not describe {name}"
        kind = schema.get("type", "string")
        wrong = WRONG[kind[0] if isinstance(kind, list) else kind] if "enum" not in schema else "x"
        metadata = json.loads(json.dumps(whole))
        place = metadata["global"] if part == "global" else metadata[part][0]
        place[f"gr_semantic:{name}"] = wrong
        Path("a.sigmf-meta").write_text(json.dumps(metadata))
        message = run("replay", "a.sigmf-meta", exit_code=2).stderr
        assert f"gr_semantic:{name} is {wrong!r}, expected" in message and message.count("\n") == 1


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "is not SigMF metadata"),
        ("[" * 100_000, "is not SigMF metadata"),
        ('{"global": {"core:datatype": "cf32_le", "core:sample_rate": NaN}}', "NaN is no JSON"),
        ('{"global": 7, "captures": [], "annotations": []}', "a.sigmf-meta: "),
        ('{"global": {"core:datatype": "cf32_le"}, "captures": {}, "annotations": []}', "a.sigmf-meta: "),
    ],
)
def test_corrupted_metadata(run, text, message):
    Path("a.sigmf-meta").write_text(text)
    Path("a.sigmf-data").write_bytes(bytes(800))
    result = run("replay", "a.sigmf-meta", exit_code=2).stderr
    assert message in result and result.count("\n") == 1


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Another model: the zoo's codec, its weights a little off."""
    folder = tmp_path_factory.mktemp("codec") / "other"
    shutil.copytree(ZOO / "fashion-mnist", folder)
    rng, path = np.random.default_rng(1), folder / "weights.safetensors"
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    tensors = {
        name: (value * (1 + 0.05 * rng.standard_normal(value.shape))).astype(value.dtype) if value.ndim > 1 else value
        for name, value in load_file(path).items()
    }
    save_file(tensors, path)
    after = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "codec.toml").write_text((folder / "codec.toml").read_text().replace(before, after))
    return str(folder)


@pytest.fixture
def sent(run, zoo_codec):
    """A recording of 96 images at 3 dB, and as it was sent."""
    run("modulate", "--dataset", IMAGES, "--budget", 8, "-o", "tx.sigmf-meta")
    run("channel", "tx.sigmf-meta", "--snr-db", 3, "-o", "rx.sigmf-meta")


def test_another_model_over_the_same_air(run, sent, other, zoo_codec):
    """Without noise it says what it says of its own symbols; over its own air nothing changes at all."""
    from semantic_models import SemanticCodec, load_images

    codec, images = SemanticCodec.load(other, "cpu"), load_images(IMAGES)
    alone = codec.decode(codec.encode(images.images, 10.0, 8), 1e-3).argmax(axis=1)
    quiet = json.loads(run("replay", "tx.sigmf-meta", "--codec", other, "--json").stdout)
    found = np.concatenate([row["predictions"] for row in quiet["frames"]])
    assert np.mean(found == alone) > 0.97
    noisy = json.loads(run("replay", "rx.sigmf-meta", "--json", "--compare", other).stdout)
    own = json.loads(run("replay", "rx.sigmf-meta", "--json").stdout)
    assert [row["predictions"] for row in noisy["frames"]] == [row["predictions"] for row in own["frames"]]
    assert noisy["accuracy"] == own["accuracy"] and "compared_accuracy" not in own
    compared = np.concatenate([row["compared_predictions"] for row in noisy["frames"]])
    both = np.concatenate([row["predictions"] for row in noisy["frames"]])
    assert noisy["compared_accuracy"] == pytest.approx(np.mean(compared == images.labels))
    assert noisy["agreement"] == pytest.approx(np.mean(compared == both))
    assert 0.5 < np.mean(compared == found) < 1  # it hears the noise


def test_the_comparison_tells_what_sending_the_other_model_would_have_given(run, sent, other):
    """The same noise, with frames that the other model has really encoded."""
    run("modulate", "--dataset", IMAGES, "--budget", 8, "--codec", other, "-o", "other.sigmf-meta")
    run("channel", "other.sigmf-meta", "--snr-db", 3, "-o", "heard.sigmf-meta")
    really = json.loads(run("replay", "heard.sigmf-meta", "--json").stdout)
    compared = json.loads(run("replay", "rx.sigmf-meta", "--json", "--compare", other).stdout)
    one, two = (
        np.concatenate([row[key] for row in result["frames"]])
        for result, key in ((really, "predictions"), (compared, "compared_predictions"))
    )
    assert np.mean(one == two) > 0.95
    assert compared["compared_accuracy"] == pytest.approx(really["accuracy"], abs=0.03)


def test_the_air_of_a_recording_is_what_was_added_to_the_symbols(run, sent, zoo_codec, other):
    from gr_semantic.modem import receive
    from gr_semantic.recording.decoders import Received, SameAirDecoder
    from gr_semantic.recording.frame_truth import TruthTable
    from semantic_models import load_images

    images = load_images(IMAGES)
    mirror = SameAirDecoder("mirror", zoo_codec, zoo_codec, images, images)
    with Recording("rx.sigmf-meta") as recording:
        table = TruthTable(WF, recording.metadata["annotations"])
        group = [Received(frame, table.match(frame)) for frame in receive(WF, next(recording.chunks()))]
        direct = decoder_of(recording).classes(group)
    assert np.array_equal(mirror.classes(group), direct)


def test_side_by_side_in_the_table(run, sent, other):
    text = run("replay", "rx.sigmf-meta", "--compare", other).stdout
    assert "accuracy by fashion-mnist: " in text and "(its own symbols over this air)" in text
    assert re.search(r"both agree on [\d.]+ % of 96 images", text)


def test_what_another_model_needs(run, sent, other):
    run("modulate", "--qpsk", "--frames", 1, "-o", "qpsk.sigmf-meta")
    metadata = json.loads(Path("rx.sigmf-meta").read_text())

    def refused(**own):
        changed = {**metadata, "global": {**metadata["global"], **{f"gr_semantic:{k}": v for k, v in own.items()}}}
        changed["global"] = {key: value for key, value in changed["global"].items() if value is not None}
        Path("changed.sigmf-meta").write_text(json.dumps(changed))
        Path("changed.sigmf-data").write_bytes(Path("rx.sigmf-data").read_bytes())
        return run("replay", "changed.sigmf-meta", "--codec", other, exit_code=2).stderr

    assert "did not encode it" in refused(images=None)
    assert "the codec that did is needed" in refused(codec="/none/such")
    assert "holds others now" in refused(images="fashion-mnist:test[0:95]")
    assert "model ffffffff" in refused(model_id="f" * 64)


LONG = """
import resource, sys
from gr_semantic.modem import Waveform
from gr_semantic.recording.replay_recording import replay
from gr_semantic.recording.sigmf_file import RawRecording
result = replay(RawRecording(sys.argv[1], "cf32_le"), Waveform.load("ofdm64"), 1e6, waveform_rate_hz=float(sys.argv[2]))
print(result.found, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_of(path, rate_hz):
    """Frames found, and the peak of memory in MB, of a replay in a process of its own."""
    done = subprocess.run([sys.executable, "-c", LONG, str(path), str(rate_hz)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found, peak_kb = done.stdout.split()
    return int(found), int(peak_kb) / 1e3


def sparse(path, size):
    """A file of zeros that takes no room, with two frames at its end."""
    frames = as_bytes(air(2)[0], "cf32_le", full_scale=1.0)
    with open(path, "wb") as file:
        file.seek(size - len(frames))
        file.write(frames)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("rate_hz, size, frames", [(1e6, 10 * 10**9, 2), (0.8e6, 2 * 10**9, 0)])
def test_10_gb_in_the_memory_of_a_small_file(tmp_path, rate_hz, size, frames):
    sparse(tmp_path / "small", 64 * 10**6)
    sparse(tmp_path / "large", size)
    small, large = peak_of(tmp_path / "small", rate_hz), peak_of(tmp_path / "large", rate_hz)
    assert small[0] == large[0] == frames
    assert large[1] < small[1] + 30

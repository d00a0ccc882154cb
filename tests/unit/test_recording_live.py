# SPDX-License-Identifier: GPL-3.0-or-later
"""A recording that is being made: readable at any time, whatever ends it."""

import errno
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import sigmf

from gr_semantic.errors import UserError
from gr_semantic.recording import live_recording
from gr_semantic.recording.live_recording import LiveRecording
from gr_semantic.recording.namespace import own_fields
from gr_semantic.recording.sigmf_file import Recording

NEVER_S = 3600.0


def ramp(first, count):
    return (np.arange(first, first + count) * (1 + 2j)).astype(np.complex64)


def frame(sequence, start, **more):
    return {"kind": "data", "sequence": sequence, "sample_start": start, "sample_count": 100, "budget": 4, **more}


def samples_of(recording):
    return np.concatenate(list(recording.chunks()))


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_finished_recording_is_plain_sigmf(tmp_path):
    path = tmp_path / "sub" / "a.sigmf-meta"
    with LiveRecording(path, 2e6, {"seed": 3, "slot_len": 1000}, {"hw": "none"}) as recording:
        recording.begin_capture(frequency=915e6, own={"gain_db": 20.0})
        recording.write(ramp(0, 3000))
        recording.sent(kind="data", sequence=0, slot=0, sample_count=100, budget=4, image_count=2, labels=[3, 4])
        recording.sent(kind="data", sequence=1, slot=1, sample_count=100, budget=4, image_count=2)
        recording.sent(kind="data", sequence=2, slot=2, sample_count=100, budget=4, image_count=2)
        recording.found(**frame(2, 2007, measured_snr_db=9.0))
        recording.found(**frame(0, 7, measured_snr_db=8.5))
        recording.found(sample_start=7, predictions=[3, 5])
        recording.begin_capture(frequency=916e6)
        recording.write(ramp(3000, 10))
        recording.note(images="some")
    assert files(path.parent) == ["a.sigmf-data", "a.sigmf-meta"]
    with Recording(path) as recording:
        assert np.array_equal(samples_of(recording), ramp(0, 3010)) and not recording.unfinished
        assert recording.own.items() >= {"seed": 3, "status": "complete", "images": "some"}.items()
        assert "core:sha512" in recording.metadata["global"]
        first, second = recording.metadata["captures"]
        assert first["core:frequency"] == 915e6 and first["gr_semantic:gain_db"] == 20.0
        assert "core:datetime" in first and second["core:sample_start"] == 3000
        assert [segment.gap for segment in recording.segments] == [False, False]
        found, lost, late = map(own_fields, recording.metadata["annotations"])
        assert found == {"kind": "data", "sequence": 0, "slot": 0, "budget": 4, "measured_snr_db": 8.5,
                         "predictions": [3, 5], "labels": [3, 4]}  # fmt: skip
        assert lost["sequence"] == 1 and late["measured_snr_db"] == 9.0
        assert recording.metadata["annotations"][1]["core:sample_start"] == 1007  # where its slot is
    sigmf.fromfile(path).validate()


def test_it_can_be_read_while_it_is_made(tmp_path):
    path = tmp_path / "a.sigmf-meta"
    with LiveRecording(path, 1e6, checkpoint_s=NEVER_S) as recording:
        with pytest.raises(UserError, match="holds no samples"):
            Recording(path)
        for step in range(3):
            recording.write(ramp(1000 * step, 1000))
            recording.found(**frame(step, 1000 * step + 50))
            recording.checkpoint()
            recording.write(ramp(0, 7)[:0])
            with Recording(path) as seen:
                assert seen.unfinished and np.array_equal(samples_of(seen), ramp(0, 1000 * (step + 1)))
                assert len(seen.metadata["annotations"]) == step + 1
        recording.write(ramp(3000, 500))
        recording.found(**frame(3, 3050))
        with Recording(path) as seen:
            assert seen.sample_count == 3000 and len(seen.metadata["annotations"]) == 3
        sigmf.fromfile(path).validate()


CHILD = """
import sys
import numpy as np
from gr_semantic.recording.live_recording import LiveRecording
recording = LiveRecording(sys.argv[1], 1e6, checkpoint_s=0.05)
step = 0
while True:
    recording.write((np.arange(1000 * step, 1000 * step + 1000) * (1 + 2j)).astype(np.complex64))
    recording.found(kind="data", sequence=step % 65536, sample_start=1000 * step, sample_count=900, budget=4)
    step += 1
    print(recording._checkpoint["samples"], flush=True)
"""


def test_kill_9_leaves_all_up_to_the_last_checkpoint(tmp_path):
    path = tmp_path / "a.sigmf-meta"
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        while (vouched := int(child.stdout.readline())) < 20_000:
            assert child.poll() is None
        child.send_signal(signal.SIGKILL)
        rest = child.stdout.read().split("\n")[:-1]
        child.wait(30)
    finally:
        child.kill()
    vouched = int(rest[-1]) if rest else vouched
    with Recording(path) as recording:
        assert recording.unfinished and recording.sample_count >= vouched >= 20_000
        assert np.array_equal(samples_of(recording), ramp(0, recording.sample_count))
        starts = [annotation["core:sample_start"] for annotation in recording.metadata["annotations"]]
        assert starts == [1000 * step for step in range(recording.sample_count // 1000)]


LIMITED = """
import resource, sys
import numpy as np
from gr_semantic.errors import UserError
from gr_semantic.recording.live_recording import LiveRecording
limit = int(sys.argv[2])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    with LiveRecording(sys.argv[1], 1e6, {"slot_len": 1000}, checkpoint_s=0.02) as recording:
        recording.begin_capture()
        for step in range(100_000):
            recording.write((np.arange(1000 * step, 1000 * step + 1000) * (1 + 2j)).astype(np.complex64))
            recording.found(kind="data", sequence=step, sample_start=1000 * step, sample_count=900, budget=4)
except UserError as error:
    print(error)
"""


def fill(path, limit=0):
    command = [sys.executable, "-c", LIMITED, str(path), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_limit_of_the_file_size(tmp_path):
    path = tmp_path / "a.sigmf-meta"
    assert "cannot be written (File too large)" in fill(path, 1_000_003)
    with Recording(path) as recording:  # the limit lies within a sample
        assert recording.sample_count == 125_000 and recording.own["status"] == "failed"
        assert np.array_equal(samples_of(recording), ramp(0, 125_000))
        assert len(recording.metadata["annotations"]) == 125
    assert files(tmp_path) == ["a.sigmf-data", "a.sigmf-meta"]


def test_a_full_disk(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=32m", "none", str(folder)]
    if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs is not allowed here")
    try:
        path = folder / "a.sigmf-meta"
        assert "cannot be written (No space left on device)" in fill(path)
        with Recording(path) as recording:
            assert recording.sample_count > 100_000
            assert np.array_equal(samples_of(recording), ramp(0, recording.sample_count))
            assert len(recording.metadata["annotations"]) == recording.sample_count // 1000
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_where_not_even_the_metadata_find_room_it_is_read_by_its_journal(tmp_path, monkeypatch):
    path = tmp_path / "a.sigmf-meta"
    recording = LiveRecording(path, 1e6, checkpoint_s=NEVER_S)
    recording.write(ramp(0, 2000))
    recording.found(**frame(0, 10))
    recording.checkpoint()
    recording.write(ramp(2000, 100))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(live_recording, "replacing", full)
    with pytest.raises(UserError, match=r"No space left on device.; it can be read up to sample 2000"):
        recording.finish()
    recording.finish()  # harmless
    with Recording(path) as seen:
        assert seen.unfinished and np.array_equal(samples_of(seen), ramp(0, 2000))
        assert len(seen.metadata["annotations"]) == 1


@pytest.fixture
def killed(tmp_path):
    """A recording of 3000 samples that was never finished: its path."""
    path = tmp_path / "a.sigmf-meta"
    recording = LiveRecording(path, 1e6, checkpoint_s=NEVER_S)
    recording.write(ramp(0, 3000))
    recording.found(**frame(0, 10))
    recording.checkpoint()
    recording._file.write(b"half a")  # of the next sample
    return path


def test_what_a_kill_may_leave(killed):
    journal = killed.with_suffix(".sigmf-journal")
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"found": {"kind": "da')
    with Recording(killed) as recording:
        assert (recording.sample_count, len(recording.metadata["annotations"])) == (3000, 1)
    journal.unlink()
    with Recording(killed) as recording:  # nothing vouches for the samples, but they are there
        assert (recording.sample_count, recording.metadata["annotations"]) == (3000, [])


def test_damage_is_noticed_by_the_journals_hash(killed):
    data = killed.with_suffix(".sigmf-data")
    samples = bytearray(data.read_bytes())
    samples[100] ^= 1
    data.write_bytes(samples)
    with pytest.raises(UserError, match="do not have the hash"):
        Recording(killed)
    data.write_bytes(samples[:800])
    with pytest.raises(UserError, match="holds 100 samples, its journal names 3000: cut off"):
        Recording(killed)


def test_an_older_recording_is_not_overwritten_unasked(tmp_path):
    path = tmp_path / "a.sigmf-meta"
    with LiveRecording(path, 1e6) as recording:
        recording.write(ramp(0, 100))
    with pytest.raises(UserError, match="exists already"):
        LiveRecording(path, 1e6)
    with LiveRecording(path, 1e6, overwrite=True) as recording:
        recording.write(ramp(0, 50))
    with Recording(path) as recording:
        assert recording.sample_count == 50


@pytest.mark.parametrize(
    "name, settings, message",
    [
        ("a.sigmf", {}, "expected a .sigmf-meta file"),
        ("-", {}, "expected a .sigmf-meta file"),
        ("a.sigmf-meta", {"datatype": "ci8"}, "datatype is ci8, expected one of"),
        ("a.sigmf-meta", {"full_scale": 0}, "full_scale is 0"),
        ("file/a.sigmf-meta", {}, "cannot be written"),
    ],
)
def test_mistakes(tmp_path, name, settings, message):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=message):
        LiveRecording(name if name == "-" else tmp_path / name, 1e6, **settings)


@pytest.mark.parametrize("failure, status", [(KeyboardInterrupt, "interrupted"), (ValueError, "failed")])
def test_an_exception_ends_it_and_keeps_it(tmp_path, failure, status):
    path = tmp_path / "a.sigmf-meta"
    with pytest.raises(failure), LiveRecording(path, 1e6) as recording:
        recording.write(ramp(0, 100))
        raise failure
    with Recording(path) as recording:
        assert recording.own["status"] == status and recording.sample_count == 100


def test_int16(tmp_path):
    """A radio's 12 bits survive to the last bit; what is beyond full scale is clipped and counted."""
    path = tmp_path / "a.sigmf-meta"
    radio = ((np.arange(-2048, 2048) - 1j * np.arange(-2047, 2049)) / 2048).astype(np.complex64)
    with LiveRecording(path, 1e6, datatype="ci16_le") as recording:
        recording.write(radio)
        recording.write(np.array([2 + 0j, -3j, 0.5], np.complex64))
    with Recording(path) as recording:
        samples = samples_of(recording)
        assert np.array_equal(samples[1:4096], radio[1:]) and samples[-1] == 0.5
        assert samples[-3:-1] == pytest.approx([1, -1j], abs=1e-4)
        assert recording.own["clipped_samples"] == 2


def test_a_gap_begins_a_capture(tmp_path):
    path = tmp_path / "a.sigmf-meta"
    with LiveRecording(path, 1e6) as recording:
        recording.begin_capture()
        recording.write(ramp(0, 100))
        recording.begin_capture(joined=False)
        recording.write(ramp(0, 50))
        recording.begin_capture(global_index=500)
        recording.write(ramp(0, 20))
        recording.begin_capture()
        recording.write(ramp(0, 30))
    with Recording(path) as recording:
        segments = [(segment.first, segment.count, segment.gap) for segment in recording.segments]
    assert segments == [(0, 100, False), (100, 50, True), (150, 20, True), (170, 30, False)]


def test_a_gap_that_was_noticed_late_begins_a_capture_where_it_is(tmp_path):
    path = tmp_path / "a.sigmf-meta"
    with LiveRecording(path, 1e6) as recording:
        recording.begin_capture(frequency=915e6)
        recording.write(ramp(0, 1000))
        recording.mark_gap(400, 77)
        recording.write(ramp(0, 500))
        recording.mark_gap(1200, 3)
        assert recording.gaps == [400, 1200]
        with pytest.raises(ValueError, match="a capture begins later"):
            recording.mark_gap(1100, 5)
        recording.begin_capture(frequency=915e6)
        recording.write(ramp(0, 10))
    with Recording(path) as recording:
        segments = [(segment.first, segment.count, segment.gap) for segment in recording.segments]
        captures = recording.metadata["captures"]
    assert segments == [(0, 400, False), (400, 800, True), (1200, 300, True), (1500, 10, False)]
    assert [capture["core:global_index"] for capture in captures] == [0, 477, 1280, 1580]
    assert all(capture["core:frequency"] == 915e6 for capture in captures)
    assert all(capture["core:datetime"].endswith("Z") for capture in captures)


def test_sequence_numbers_that_come_again_meet_their_own_truth(tmp_path):
    path = tmp_path / "a.sigmf-meta"
    with LiveRecording(path, 1e6, {"slot_len": 100}) as recording:
        recording.write(np.zeros(1000, np.complex64))
        for slot in range(8):
            label = [slot]
            recording.sent(kind="data", sequence=slot % 4, slot=slot, sample_count=90, image_count=1, labels=label)
        for slot in (0, 2, 3, 5, 6, 7):
            recording.found(kind="data", sequence=slot % 4, sample_start=100 * slot + 5, sample_count=90)
    annotations = json.loads(path.read_text())["annotations"]
    assert [a["core:sample_start"] for a in annotations] == [5, 105, 205, 305, 405, 505, 605, 705]
    assert [a["gr_semantic:labels"] for a in annotations] == [[slot] for slot in range(8)]


def test_what_would_spoil_the_file_is_refused(tmp_path):
    path = tmp_path / "a.sigmf-meta"
    with pytest.raises(UserError, match="gr_semantic:seed is 'x', expected integer"):
        LiveRecording(path, 1e6, {"seed": "x"})
    with LiveRecording(path, 1e6) as recording:
        recording.write(ramp(0, 500))
        for wrong in (
            lambda: recording.found(**frame(70_000, 10)),
            lambda: recording.found(**frame(1, 10, predictions=[-1])),
            lambda: recording.sent(kind="noise", sequence=1),
            lambda: recording.note(images=7),
            lambda: recording.begin_capture(own={"gain_db": "loud"}),
        ):
            with pytest.raises(UserError, match="gr_semantic:"):
                wrong()
        recording.found(**frame(2, -1))
        recording.found(sample_start=300, predictions=[1])  # of a frame that nobody else has seen
    with Recording(path) as recording:
        (annotation,) = recording.metadata["annotations"]
        assert (annotation["core:sample_start"], annotation["gr_semantic:sequence"]) == (0, 2)
        assert len(recording.metadata["captures"]) == 1

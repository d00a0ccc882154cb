# SPDX-License-Identifier: GPL-3.0-or-later
"""SigMF in and out: what other tools read, what damaged files say."""

import io
import json
import sys
import tarfile

import numpy as np
import pytest
import sigmf

from gr_semantic.errors import UserError
from gr_semantic.recording.sigmf_file import Recording, RecordingWriter


def ramp(count=5000):
    return (np.arange(count) + 1j * np.arange(count)[::-1]).astype(np.complex64) / count


def write(name, samples=None, annotations=()):
    with RecordingWriter(name) as writer:
        for part in np.array_split(ramp() if samples is None else samples, 3):
            writer.write(part)
        writer.finish(2e6, {"payload": "ramp"}, list(annotations))


def samples_of(name, chunk=700):
    with Recording(name) as recording:
        return np.concatenate(list(recording.chunks(chunk)))


def edit(path, change):
    metadata = json.loads(path.read_text())
    change(metadata)
    path.write_text(json.dumps(metadata))


@pytest.mark.parametrize("name", ["a.sigmf-meta", "a.sigmf"])
def test_what_was_written_is_read_back_and_the_library_reads_it_too(tmp_path, name):
    write(tmp_path / name, annotations=[{"core:sample_start": 7}, {"core:sample_start": 3}])
    with Recording(tmp_path / name) as recording:
        assert (recording.sample_count, recording.sample_rate_hz, recording.own) == (5000, 2e6, {"payload": "ramp"})
        assert [a["core:sample_start"] for a in recording.metadata["annotations"]] == [3, 7]
    assert np.array_equal(samples_of(tmp_path / name), ramp())
    other = sigmf.fromfile(tmp_path / name)
    other.validate()
    assert np.array_equal(other.read_samples(), ramp())
    wanted = {"a.sigmf"} if name == "a.sigmf" else {"a.sigmf-meta", "a.sigmf-data"}
    assert {path.name for path in tmp_path.iterdir()} == wanted


def test_an_archive_that_the_library_wrote(tmp_path):
    write(tmp_path / "a.sigmf-meta")
    sigmf.fromfile(tmp_path / "a.sigmf-meta").archive(str(tmp_path / "b.sigmf"))
    assert np.array_equal(samples_of(tmp_path / "b.sigmf"), ramp())


def test_stdin_and_stdout(monkeypatch):
    class Pipe(io.BytesIO):
        """Cannot seek or tell, as a pipe."""

        def seek(self, *_):
            raise io.UnsupportedOperation

        tell = seek

    out = Pipe()
    monkeypatch.setattr(sys, "stdout", type("Stdout", (), {"buffer": out}))
    write("-")
    monkeypatch.setattr(sys, "stdin", type("Stdin", (), {"buffer": Pipe(out.getvalue())}))
    assert np.array_equal(samples_of("-"), ramp())
    monkeypatch.setattr(sys, "stdin", type("Stdin", (), {"buffer": Pipe()}))
    with pytest.raises(UserError, match="stdin is empty"):
        Recording("-")


def test_a_failure_leaves_nothing_and_keeps_the_old_recording(tmp_path):
    write(tmp_path / "a.sigmf-meta")
    with pytest.raises(ZeroDivisionError), RecordingWriter(tmp_path / "a.sigmf-meta") as writer:
        writer.write(np.zeros(10, np.complex64))
        raise ZeroDivisionError
    assert np.array_equal(samples_of(tmp_path / "a.sigmf-meta"), ramp())
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    "datatype, values, expected",
    [
        ("ci16_le", np.array([16384, -32768], "<i2"), 0.5 - 1j),
        ("ci16_be", np.array([16384, -32768], ">i2"), 0.5 - 1j),
        ("ci8", np.array([64, -128], "i1"), 0.5 - 1j),
        ("cu8", np.array([192, 0], "u1"), 0.5 - 1j),
        ("cf64_le", np.array([0.5, -1], "<f8"), 0.5 - 1j),
    ],
)
def test_datatypes(tmp_path, datatype, values, expected):
    write(tmp_path / "a.sigmf-meta")
    (tmp_path / "a.sigmf-data").write_bytes(np.tile(values, 9).tobytes())
    edit(tmp_path / "a.sigmf-meta", lambda m: m["global"].update({"core:datatype": datatype, "core:sha512": None}))
    edit(tmp_path / "a.sigmf-meta", lambda m: m["global"].pop("core:sha512"))
    assert samples_of(tmp_path / "a.sigmf-meta", 4).tolist() == [expected] * 9


def no_hash(m):
    m["global"].pop("core:sha512")


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda meta, data: meta.unlink(), "a.sigmf-meta: cannot be read .No such file"),
        (lambda meta, data: data.unlink(), "a.sigmf-data: cannot be read .No such file"),
        (lambda meta, data: meta.write_bytes(b""), "is not SigMF metadata"),
        (lambda meta, data: meta.write_bytes(b"\xff\xfe{"), "is not SigMF metadata"),
        (lambda meta, data: meta.write_text("[1, 2]"), "is not of type 'object'"),
        (lambda meta, data: meta.write_text("{}"), "'global' is a required property"),
        (lambda meta, data: edit(meta, lambda m: m["global"].pop("core:datatype")), "'core:datatype' is a required"),
        (
            lambda meta, data: edit(meta, lambda m: m["global"].update({"core:datatype": "cf24"})),
            "core:datatype: 'cf24'",
        ),
        (lambda meta, data: edit(meta, lambda m: m["global"].update({"core:datatype": "rf32_le"})), "complex ones"),
        (lambda meta, data: edit(meta, lambda m: m["global"].update({"core:num_channels": 2})), "num_channels is 2"),
        (
            lambda meta, data: edit(meta, lambda m: m["global"].update({"core:dataset": "a.wav"})),
            "another format",
        ),
        (lambda meta, data: edit(meta, lambda m: m["global"].update({"core:sample_rate": -1})), "core:sample_rate"),
        (lambda meta, data: edit(meta, lambda m: m["global"].update({"core:sha512": "0" * 128})), "the hash"),
        (lambda meta, data: data.write_bytes(data.read_bytes()[:-8] + bytes(8)), "the hash"),
        (lambda meta, data: data.write_bytes(data.read_bytes()[:-3]), "no whole number of cf32_le samples"),
        (lambda meta, data: data.write_bytes(b""), "holds no samples"),
    ],
)
def test_damaged_files_say_what_is_wrong_in_one_line(tmp_path, damage, message):
    write(tmp_path / "a.sigmf-meta")
    damage(tmp_path / "a.sigmf-meta", tmp_path / "a.sigmf-data")
    with pytest.raises(UserError, match=message) as caught:
        Recording(tmp_path / "a.sigmf-meta")
    assert "\n" not in str(caught.value) and "a.sigmf" in str(caught.value)


def test_damaged_archives(tmp_path):
    write(tmp_path / "a.sigmf")
    whole = (tmp_path / "a.sigmf").read_bytes()
    for content in (b"", b"no tar at all" * 100, whole[:20_000]):
        (tmp_path / "b.sigmf").write_bytes(content)
        with pytest.raises(UserError, match=r"b.sigmf: is not a SigMF archive|one .sigmf-meta and one"):
            Recording(tmp_path / "b.sigmf")
    with tarfile.open(tmp_path / "c.sigmf", "w") as archive:
        archive.addfile(tarfile.TarInfo("c/c.sigmf-meta"), io.BytesIO())
    with pytest.raises(UserError, match=r"one .sigmf-meta and one"):
        Recording(tmp_path / "c.sigmf")


@pytest.mark.parametrize("name", ["a.wav", "a", "a.sigmf-data"])
def test_other_names(tmp_path, name):
    for kind in (Recording, RecordingWriter):
        with pytest.raises(UserError, match=r"expected a .sigmf-meta file"):
            kind(tmp_path / name)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        RecordingWriter(tmp_path / "file" / "a.sigmf-meta")

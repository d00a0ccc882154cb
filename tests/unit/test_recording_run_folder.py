# SPDX-License-Identifier: GPL-3.0-or-later
"""Run folders: files are whole or not there, and nothing of anybody else's is overwritten."""

import json
import os
import subprocess

import pytest

from gr_semantic.errors import UserError
from gr_semantic.recording.run_folder import RunFolder, default_run_path, git_commit, make_manifest


def test_files_appear_whole_and_without_leftovers(tmp_path):
    folder = RunFolder(tmp_path / "deep" / "run")
    folder.write_json("summary.json", {"a": [1, None]})
    with folder.replacing("picture.png") as part:
        part.write_bytes(b"png")
        assert not (folder.path / "picture.png").exists()
    assert sorted(os.listdir(folder.path)) == ["picture.png", "summary.json"]
    assert json.loads((folder.path / "summary.json").read_text()) == {"a": [1, None]}


def test_a_failed_write_leaves_the_old_file_and_no_part(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_text("page.html", "old")
    with pytest.raises(RuntimeError), folder.replacing("page.html") as part:
        part.write_text("half")
        raise RuntimeError
    assert (tmp_path / "page.html").read_text() == "old"
    assert os.listdir(tmp_path) == ["page.html"]


def test_nan_is_not_written_as_json(tmp_path):
    with pytest.raises(ValueError, match="Out of range"):
        RunFolder(tmp_path).write_json("summary.json", {"accuracy": float("nan")})


def test_an_earlier_run_goes_and_a_strangers_folder_stays(tmp_path):
    earlier = RunFolder(tmp_path / "run")
    earlier.write_json("manifest.json", make_manifest("complete", {}, {}))
    earlier.write_text("frames.csv", "old")
    earlier.write_text("plot.png", "old")
    earlier.write_text("notes.txt", "the user's own")
    again = RunFolder(tmp_path / "run", old_files=("plot.png",))
    assert os.listdir(again.path) == ["notes.txt"]

    stranger = tmp_path / "photos"
    stranger.mkdir()
    (stranger / "cat.jpg").write_text("cat")
    with pytest.raises(UserError, match=r"photos is not empty"):
        RunFolder(stranger)
    assert os.listdir(stranger) == ["cat.jpg"]


@pytest.mark.parametrize("content", ["[]", "{", '{"format": "other"}'])
def test_a_strangers_manifest_is_no_earlier_run(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(UserError, match="no earlier run"):
        RunFolder(tmp_path)


def test_places_that_cannot_be_written_are_user_errors(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "run", "/proc/run"):
        with pytest.raises(UserError, match="cannot write run folder"):
            RunFolder(place)


def test_manifest_is_json_and_names_versions():
    manifest = json.loads(json.dumps(make_manifest("running", {"seed": 1}, {"model_id": "ab"}, command=["demo"])))
    assert manifest["status"] == "running"
    assert manifest["config"] == {"seed": 1}
    assert manifest["command"] == ["demo"]
    assert {"python", "numpy", "torch", "gnuradio", "gr-semantic"} <= manifest["versions"].keys()
    assert manifest["versions"]["numpy"]


def test_git_commit_is_that_of_the_folder_itself(tmp_path):
    assert git_commit(tmp_path) is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "init", "-q"], check=True)
    (tmp_path / "a").write_text("a")
    subprocess.run([*git, "add", "a"], check=True)
    subprocess.run([*git, "commit", "-qm", "a"], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert git_commit(tmp_path) == commit
    (tmp_path / "a").write_text("b")
    assert git_commit(tmp_path) == commit + "-dirty"
    (tmp_path / "sub").mkdir()
    assert git_commit(tmp_path / "sub") is None


def test_default_path_is_dated():
    assert default_run_path().parts[0] == "runs"

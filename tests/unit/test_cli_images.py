# SPDX-License-Identifier: GPL-3.0-or-later
import json

from click.testing import CliRunner
from PIL import Image

from gr_semantic.cli.main import main


def run(*arguments):
    return CliRunner().invoke(main, ["images", *arguments])


def test_says_what_a_folder_holds(tmp_path):
    for name, count in (("cat", 2), ("dog", 3)):
        (tmp_path / name).mkdir()
        for number in range(count):
            Image.new("RGB", (40, 30)).save(tmp_path / name / f"{number}.png")
    shown = run(f"{tmp_path}@3x16x24")
    assert shown.exit_code == 0 and "5 images of 3 x 16 x 24 in 2 classes" in shown.output
    assert [line.split() for line in shown.output.splitlines()[1:]] == [["2", "cat"], ["3", "dog"]]
    told = json.loads(run(f"{tmp_path}@1x8x8", "--json").stdout)
    assert told == {"images": 5, "shape": [1, 8, 8], "classes": {"cat": 2, "dog": 3}}


def test_a_folder_without_shape_is_one_clear_line(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "one.png")
    wrong = run(str(tmp_path))
    assert wrong.exit_code == 2 and "@3x32x32" in wrong.output and len(wrong.output.splitlines()) == 1

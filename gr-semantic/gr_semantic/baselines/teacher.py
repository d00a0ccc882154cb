# SPDX-License-Identifier: GPL-3.0-or-later
"""Which teacher belongs to a codec, where none is named."""

from pathlib import Path

from semantic_models.experiment_file import load_experiment

from ..errors import UserError
from ..paths import ROOT


def teacher_of(codec_name: str, work: Path) -> str:
    """The teacher of the experiment that is named like the codec: its name, or the file that training left in `work`.

    Raises:
        UserError: there is no such experiment, or its teacher has not been trained here.
    """
    path = ROOT / "models" / "experiments" / f"{codec_name}.yaml"
    if not path.is_file():
        raise UserError(f"codec {codec_name}: no experiment {path.name} says who its teacher is; give --teacher")
    teacher = load_experiment(path).get("teacher") or {}
    if "name" in teacher:
        return teacher["name"]
    weights = work / codec_name / "teacher" / "teacher.safetensors"
    if not weights.is_file():
        raise UserError(
            f"teacher {weights}: not there; 'gr-semantic store build {codec_name}' trains it, or give --teacher"
        )
    return str(weights)

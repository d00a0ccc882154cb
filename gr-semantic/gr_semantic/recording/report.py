# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what a run leaves behind besides its rows: summary, pictures, page, final manifest."""

from collections.abc import Sequence

from gr_semantic.link.config import LoopConfig
from gr_semantic.link.frame_log import FrameRow
from gr_semantic.link.summary import summarize
from gr_semantic.recording.page import PICTURES, render_page
from gr_semantic.recording.run_folder import MANIFEST, PAGE, SUMMARY, RunFolder, make_manifest
from gr_semantic.recording.symbol_sample import SymbolSample

_WINDOW_FRAMES = 50
_PANELS = 4


def identify(codec, waveform, image_set) -> dict[str, str]:
    """Hashes and ids of what a run's result depends on besides its settings and versions."""
    return {
        "model_id": codec.model_id,
        "waveform_sha256": waveform.digest,
        "images_sha256": image_set.content_hash,
    }


def open_run_folder(path, config: LoopConfig, identities: dict) -> RunFolder:
    """A fresh run folder with a manifest whose status is "running". Raises UserError, see RunFolder."""
    folder = RunFolder(path, old_files=tuple(PICTURES))
    folder.write_json(MANIFEST, make_manifest("running", _settings(config), identities))
    return folder


def write_report(
    folder: RunFolder,
    status: str,
    config: LoopConfig,
    identities: dict,
    rows: Sequence[FrameRow],
    codec,
    image_set,
    symbols: SymbolSample,
    papr_db: float | None = None,
) -> dict:
    """Write summary.json, the pictures, index.html and the manifest with its final status; returns the summary.

    Every file is written whole or not at all, the manifest last.
    """
    from gr_semantic.recording import plots  # matplotlib takes its time to load

    summary = summarize(rows, codec.reference_accuracy, config.drop_s, config.feedback)
    manifest = make_manifest(status, _settings(config), identities, papr_db=papr_db)
    folder.write_json(SUMMARY, summary)
    drawings = {
        "snr_budget.png": lambda path: plots.plot_snr_and_budget(path, rows, codec.budgets),
        "accuracy.png": lambda path: plots.plot_accuracy(
            path, rows, summary, codec.reference_accuracy, codec.clean_accuracy, _WINDOW_FRAMES * config.slot_s
        ),
        "constellation.png": lambda path: plots.plot_constellation(path, symbols.spread(_PANELS)),
        "images.png": lambda path: plots.plot_images(path, plots.pick_images(rows, image_set)),
    }
    for name, draw in drawings.items():
        with folder.replacing(name) as part:
            draw(part)
    folder.write_text(PAGE, render_page(manifest, summary, codec.clean_accuracy))
    folder.write_json(MANIFEST, manifest)
    return summary


def _settings(config):
    """The config, JSON-ready, with the trajectory that it stands for."""
    return config.model_dump(mode="json") | {"trajectory": config.snr_trajectory.points}

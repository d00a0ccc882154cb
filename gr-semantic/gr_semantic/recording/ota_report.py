# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run over the air leaves behind: summary, pictures, page, manifest with what the radios really set."""

import csv
import io
import statistics
from collections.abc import Sequence
from dataclasses import asdict, fields, replace

import numpy as np

from gr_semantic.link.ota_config import OtaConfig
from gr_semantic.link.ota_row import OtaRow
from gr_semantic.link.ota_sweep import SweepPoint
from gr_semantic.link.summary import summarize
from gr_semantic.recording.page import PICTURES, render_page
from gr_semantic.recording.run_folder import MANIFEST, PAGE, SUMMARY, RunFolder, make_manifest
from gr_semantic.recording.symbol_sample import SymbolSample

SWEEP_TABLE = "sweep.csv"
_WINDOW_FRAMES, _PANELS = 100, 4
_RECORDING = ("received.sigmf-meta", "received.sigmf-data", "received.sigmf-journal")
_OWN_FILES = (SWEEP_TABLE, "preflight.json", "preflight.png", "sweep.png", *_RECORDING)


def open_ota_folder(path, config: OtaConfig, identities: dict, radios: dict, resume: bool = False) -> RunFolder:
    """The run folder with a manifest whose status is "running". Raises UserError, see RunFolder."""
    folder = RunFolder(path, old_files=(*PICTURES, *_OWN_FILES), resume=resume)
    folder.write_json(MANIFEST, _manifest("running", config, identities, radios, ()))
    return folder


def write_ota_report(
    folder: RunFolder,
    status: str,
    config: OtaConfig,
    identities: dict,
    rows: Sequence[OtaRow],
    codec,
    image_set,
    symbols: SymbolSample,
    radios: dict,
    events: Sequence[str],
) -> dict:
    """Write summary.json, pictures, index.html and the manifest with its final status; returns the summary.

    The true SNR is not known over the air: accuracy stands over the SNR that was measured on the same frame.

    Args:
        radios: name -> RadioKeeper, for settings and counters.
        events: lines about radios that were lost and came back.
    """
    from gr_semantic.recording import plots

    shown = [replace(row, snr_true_db=row.snr_measured_db) for row in rows]
    summary = ota_summary(rows, codec.reference_accuracy, config)
    manifest = _manifest(status, config, identities, radios, events)
    folder.write_json(SUMMARY, summary)
    if shown:
        drawings = {
            "snr_budget.png": lambda path: plots.plot_snr_and_budget(path, list(rows), codec.budgets),
            "accuracy.png": lambda path: plots.plot_accuracy(
                path, shown, summary, codec.reference_accuracy, codec.clean_accuracy, _WINDOW_FRAMES * config.slot_s
            ),
            "constellation.png": lambda path: plots.plot_constellation(path, symbols.spread(_PANELS)),
            "images.png": lambda path: plots.plot_images(path, plots.pick_images(shown, image_set)),
        }
        for name, draw in drawings.items():
            with folder.replacing(name) as part:
                draw(part)
        folder.write_text(PAGE, render_page(manifest, summary, codec.clean_accuracy, "over the air"))
    folder.write_json(MANIFEST, manifest)
    return summary


def ota_summary(rows: Sequence[OtaRow], reference_accuracy, config: OtaConfig) -> dict:
    """The numbers of ``summarize`` (over the measured SNR), and: report_delay_ms (median, p95; wall clock from a
    measurement at B to the profile that first used it), latency_ms (profile to decoded classes), gaps (jumps of the
    sample count between received frames), wall_s, frames_lost_above_12_db.
    """
    measured = [replace(row, snr_true_db=row.snr_measured_db) for row in rows]
    summary = summarize(measured, reference_accuracy, None, config.mode == "closed-loop")
    summary["report_delay_ms"] = _spread(row.report_delay_s for row in rows)
    summary["latency_ms"] = _spread(row.latency_s for row in rows)
    summary["gaps"] = sum(row.gap_samples != 0 for row in rows)
    summary["frames_lost_above_12_db"] = _lost_above(rows, 12.0)
    summary["wall_s"] = round(rows[-1].wall_s - rows[0].wall_s, 3) if rows and rows[-1].wall_s >= 0 else None
    return summary


def _lost_above(rows, snr_db):
    """Lost frames whose neighbours before and after were both received at ``snr_db`` or more."""
    lost, waiting, before = 0, 0, False
    for row in rows:
        if not row.received:
            waiting += 1
            continue
        good = row.snr_measured_db >= snr_db
        lost += waiting if good and before else 0
        waiting, before = 0, good
    return lost


def _spread(values):
    known = sorted(1e3 * value for value in values if np.isfinite(value))
    if not known:
        return None
    return {"median": round(statistics.median(known), 2), "p95": round(known[int(0.95 * (len(known) - 1))], 2)}


def write_preflight(folder: RunFolder, results: Sequence, drawings: Sequence[dict]) -> None:
    """preflight.json and, where something was heard, preflight.png (results, drawings: of link.ota_preflight)."""
    from gr_semantic.recording import ota_plots

    folder.write_json("preflight.json", [result.to_json() for result in results])
    if any(drawing["spectrum_hz"] is not None for drawing in drawings):
        with folder.replacing("preflight.png") as part:
            ota_plots.plot_preflight(part, results, drawings)


def write_sweep(
    folder: RunFolder,
    status: str,
    config: OtaConfig,
    identities: dict,
    points: Sequence[SweepPoint],
    codec,
    radios: dict,
    events: Sequence[str] = (),
) -> None:
    """sweep.csv, sweep.png, summary.json and the manifest."""
    from gr_semantic.recording import ota_plots

    text = io.StringIO()
    table = csv.DictWriter(text, [field.name for field in fields(SweepPoint)], lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(point) for point in points)
    folder.write_text(SWEEP_TABLE, text.getvalue())
    folder.write_json(SUMMARY, {"points": [asdict(point) for point in points]})
    if points:
        with folder.replacing("sweep.png") as part:
            ota_plots.plot_sweep(part, points, codec.clean_accuracy)
    folder.write_json(MANIFEST, _manifest(status, config, identities, radios, events))


def read_sweep(folder: RunFolder) -> list[SweepPoint]:
    """The points of a sweep.csv that an earlier run has left; none if there is no such file."""
    try:
        text = (folder.path / SWEEP_TABLE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    kinds = {field.name: int if field.type == "int" or field.type is int else float for field in fields(SweepPoint)}
    return [
        SweepPoint(**{name: kinds[name](cell) if cell else None for name, cell in row.items()})
        for row in csv.DictReader(io.StringIO(text))
    ]


def _manifest(status, config, identities, radios, events):
    manifest = make_manifest(status, config.model_dump(mode="json"), identities)
    manifest["radios"] = {
        name: {"settings": radio.settings, "counters": asdict(radio.counters)} for name, radio in radios.items()
    }
    return manifest | {"events": list(events)}

# SPDX-License-Identifier: GPL-3.0-or-later
"""index.html of a run folder: the run's numbers and pictures on one page that needs nothing but the folder."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gr_semantic.recording.run_folder import FRAMES, MANIFEST, SUMMARY

PICTURES = {
    "snr_budget.png": (
        "The loop adapts",
        "Node B measures the SNR of every frame and reports it in a feedback frame over the reverse channel. Node A "
        "smooths the reports and chooses the SNR that its encoder assumes, and how many symbols each image gets.",
    ),
    "accuracy.png": (
        "Accuracy",
        "Share of images whose class was decoded correctly, against the offline evaluation of the same codec and "
        "against the student network without any channel.",
    ),
    "constellation.png": (
        "Received feature symbols",
        "Analog values after the equaliser: there is no constellation that they snap to. Noise moves the features, and "
        "the decoder has learned to live with it.",
    ),
    "images.png": (
        "Images and their decoded classes",
        "From start to end of the run, with the SNR of their frame. A dashed frame and a cross mark a wrong class.",
    ),
}


def render_page(manifest: dict, summary: dict, clean_accuracy: float, where: str = "demo") -> str:
    """The page's HTML.

    Args:
        manifest: as made by make_manifest.
        summary: as made by gr_semantic.link.summary.summarize.
        clean_accuracy: of the student without a channel, 0..1.
        where: the loop ran, for the title.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    config = manifest["config"]
    closed = config["feedback"]
    return environment.get_template("page.html").render(
        title=f"gr-semantic {where}: " + ("the closed loop" if closed else "open loop, without feedback"),
        subtitle=(
            f"{summary['frames_sent'] * config['slot_len'] / config['sample_rate_hz']:.1f} s of link time, seed "
            f"{config['seed']}, {config['images_per_frame']} images a frame from {config['images']}, "
            f"codec {config['codec']}, waveform {config['waveform']}"
        ),
        note=_note(manifest["status"], summary),
        numbers=_numbers(summary, clean_accuracy),
        pictures=[{"file": file, "title": title, "text": text} for file, (title, text) in PICTURES.items()],
        bins=summary["accuracy_by_snr"],
        facts=_facts(manifest),
        files=((FRAMES, "one row a frame"), (SUMMARY, "the numbers above"), (MANIFEST, "settings, versions, hashes")),
    )


def percent(share: float | None) -> str:
    """A share as "91.2 %", or a dash."""
    return "\N{EN DASH}" if share is None else f"{100 * share:.1f} %"


def _note(status, summary):
    verb = {"interrupted": "was interrupted", "failed": "failed"}.get(status)
    if verb is None:
        return ""
    return f"The run {verb} after {summary['frames_sent']} frames; this page shows what was gathered until then."


def _numbers(summary, clean_accuracy):
    feedback, adoption = summary["feedback"], summary["adoption_ms"]
    judged = summary["accuracy"] is not None
    numbers = [
        (percent(summary["accuracy"]), f"of {summary['images']} images right" if judged else "truth unknown"),
        (percent(clean_accuracy), "without a channel"),
        (f"{summary['frames_received']} / {summary['frames_sent']}", "frames received"),
        (f"{summary['mean_budget'] or 0:.1f}", "symbols per image, mean"),
    ]
    if feedback["sent"]:
        numbers.append((f"{feedback['received']} / {feedback['sent']}", "feedback frames received"))
    if adoption is not None:
        numbers.append((f"{adoption:.0f} ms", "to adopt the sudden drop"))
    return numbers


def _facts(manifest):
    facts = [("status", manifest["status"]), ("command", " ".join(manifest["command"]))]
    facts += [(name.replace("_", " "), value) for name, value in manifest["identities"].items()]
    if manifest["papr_db"] is not None:
        facts += [("peak over mean power", f"{manifest['papr_db']:.1f} dB")]
    facts += [("versions", ", ".join(f"{name} {version}" for name, version in manifest["versions"].items() if version))]
    facts += [("commit", manifest["git_commit"] or "not a checkout"), ("platform", manifest["platform"])]
    return facts

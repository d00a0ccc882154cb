# SPDX-License-Identifier: GPL-3.0-or-later
"""The comparison held against its bars: how many channel uses the pixels need, and what is left 10 dB below them."""

import numpy as np

USES_BAR = 20  # ours may need at most 1 / USES_BAR of the pixels' channel uses
FADE_BAR_DB = 10.0  # and must still reach the target this far below where the pixels no longer do
PIXELS = ("pixels", "pixels, smaller too")


def verdicts(summary: dict) -> list[dict]:
    """One line for each channel and kind of pixels: channel, pixels, pixel_uses, our_uses, ratio, uses_bar_met,
    breaks_at_db, our_budget, our_accuracy, limit_accuracy, found, fade_bar_met. None where there is nothing to compare.

    The pixels break down at the lowest SNR down to which they keep the target, with the channel uses that they need at
    bar_snr_db. Ours is then held to that same SNR less 10 dB with the largest budget that the first bar allows.
    limit_accuracy: what no code of that budget surpasses there. found: share of our frames whose header is read there.
    """
    if summary["bar_snr_db"] not in summary["snr_db"]:
        return []
    at = summary["snr_db"].index(summary["bar_snr_db"])
    return [
        _verdict(summary, channel, curves, name, at)
        for channel, curves in summary["channels"].items()
        for name in PIXELS
    ]


def _verdict(summary: dict, channel: str, curves: dict, name: str, at: int) -> dict:
    pixels, ours = curves["at_bar"].get(name), curves["needed"]["ours"][at]
    line = {"channel": channel, "pixels": name, "pixel_uses": pixels["uses"] if pixels else None, "our_uses": ours}
    line |= dict.fromkeys(
        ("ratio", "breaks_at_db", "our_budget", "our_accuracy", "limit_accuracy", "found", "fade_bar_met")
    )
    # Pixels that never reach the target need infinitely many uses; ours that never do fail.
    line["uses_bar_met"] = ours is not None and (pixels is None or USES_BAR * ours <= pixels["uses"])
    if pixels is None:
        return line
    if ours is not None:
        line["ratio"] = pixels["uses"] / ours
    line["breaks_at_db"] = breakdown_db(summary["snr_db"], pixels["accuracy"], summary["target"])
    allowed = [int(budget) for budget in curves["ours"] if USES_BAR * int(budget) <= pixels["uses"]]
    line["our_budget"] = max(allowed, default=None)
    level = line["breaks_at_db"] - FADE_BAR_DB
    if allowed and level >= summary["snr_db"][0]:
        for name, key in (("ours", "our_accuracy"), ("limit", "limit_accuracy")):
            if str(max(allowed)) in curves[name]:
                line[key] = float(np.interp(level, summary["snr_db"], curves[name][str(max(allowed))]))
        line["found"] = float(np.interp(level, summary["snr_db"], curves["found"]))
        line["fade_bar_met"] = line["our_accuracy"] >= summary["target"]
    elif not allowed:
        line["fade_bar_met"] = False
    return line


def breakdown_db(snr_db: list[float], accuracy: list[float], target: float) -> float:
    """The SNR at which a curve falls below the target for the first time from above, linear between its points."""
    below = [index for index, value in enumerate(accuracy) if value < target]
    if not below:
        return float(snr_db[0])
    last = max(below)
    if last + 1 == len(snr_db):
        return float(snr_db[-1])
    return float(np.interp(target, accuracy[last : last + 2], snr_db[last : last + 2]))


def sentence(line: dict) -> str:
    """A verdict for people."""
    where = f"{line['channel']}, {line['pixels']}: "
    if line["pixel_uses"] is None:
        text = "the pixels do not reach the target at this SNR, however many channel uses; "
        if line["our_uses"] is None:
            return where + text + "nor does ours: NOT MET"
        text += f"ours needs {line['our_uses']}: met. There is nothing to hold ours 10 dB below against"
        return where + text
    if line["our_uses"] is None:
        return where + f"ours never reaches the target, the pixels do with {line['pixel_uses']} channel uses: NOT MET"
    text = f"ours needs {line['our_uses']} channel uses, the pixels {line['pixel_uses']}, "
    text += f"{line['ratio']:.0f} times as many: "
    text += "met" if line["uses_bar_met"] else "NOT MET"
    text += f". The pixels break down at {line['breaks_at_db']:.1f} dB; "
    if line["our_budget"] is None:
        return where + text + "no budget of ours is small enough to be held against that: NOT MET"
    if line["our_accuracy"] is None:
        return where + text + "10 dB below lies outside what was measured"
    text += f"10 dB below, ours with {line['our_budget']} uses has {100 * line['our_accuracy']:.1f} %: "
    text += "met" if line["fade_bar_met"] else "NOT MET"
    if not line["fade_bar_met"]:
        limit = line["limit_accuracy"]
        bound = f"no code of {line['our_budget']} uses surpasses {100 * limit:.1f} % there, and " if limit else ""
        text += f" ({bound}{100 * line['found']:.0f} % of the frames are found)"
    return where + text

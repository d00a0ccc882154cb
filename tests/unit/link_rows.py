# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of a made-up run, for tests of what is done with rows."""

import math

from gr_semantic.link.frame_log import FrameRow


def make_rows(count, image_count=64, labelled=True, lost_every=7):
    """A fade with one wrong image in each frame, every seventh frame lost, every fifth report lost."""
    rows = []
    for slot in range(count):
        snr_db = 24 - 28 * slot / max(count - 1, 1)
        images = tuple((slot + offset) % image_count for offset in range(4))
        true = tuple(index % 10 for index in images)
        received = slot % lost_every != lost_every - 1
        predicted = (*true[:-1], (true[-1] + 1) % 10)
        rows.append(
            FrameRow(
                slot=slot,
                sequence=slot,
                time_s=0.02048 * slot,
                snr_true_db=snr_db,
                snr_used_db=snr_db - 1,
                snr_reported_db=math.nan if slot == 0 else snr_db,
                budget=(4, 8, 16, 32)[slot % 4],
                images=images,
                true=true if labelled else (),
                received=received,
                snr_measured_db=snr_db if received else math.nan,
                predicted=predicted if received else (),
                feedback_sent=1,
                feedback_received=int(slot % 5 != 0),
                feedback_used=int(slot % 5 != 0),
            )
        )
    return rows

# SPDX-License-Identifier: GPL-3.0-or-later
"""frames.csv holds what was given, whatever ends the run."""

import math

import pytest

from gr_semantic.errors import UserError
from gr_semantic.link.frame_log import FrameLog, FrameRow, read_frame_log

RECEIVED = FrameRow(
    slot=65536,
    sequence=0,
    time_s=1342.17728,
    snr_true_db=-3.5,
    snr_used_db=-3.125,
    snr_reported_db=-3.25,
    budget=32,
    images=(5, 9999),
    true=(1, 9),
    received=True,
    snr_measured_db=-3.75,
    cfo_hz=868.5,
    sro_ppm=1.5,
    evm_db=-2.0,
    latency_s=0.0015,
    predicted=(1, 7),
    feedback_sent=1,
    feedback_received=1,
    feedback_used=1,
)
LOST = FrameRow(1, 1, 0.02048, 24.0, -6.0, math.nan, 32, (3,), ())


def test_rows_come_back_as_they_were(tmp_path):
    log = FrameLog(tmp_path / "frames.csv")
    log.append(RECEIVED)
    log.append(LOST)
    log.close()
    rows = read_frame_log(tmp_path / "frames.csv")
    assert repr(rows) == repr([RECEIVED, LOST])  # repr: NaN equals NaN


def test_every_row_is_on_the_disk_at_once(tmp_path):
    log = FrameLog(tmp_path / "frames.csv")
    for count in range(1, 4):
        log.append(RECEIVED)
        assert len(read_frame_log(tmp_path / "frames.csv")) == count
    log.close()


def test_a_line_cut_off_anywhere_costs_only_itself(tmp_path):
    path = tmp_path / "frames.csv"
    log = FrameLog(path)
    log.append(RECEIVED)
    log.append(RECEIVED)
    log.close()
    whole = path.read_bytes()
    first = whole.index(b"\n", whole.index(b"\n") + 1) + 1
    for end in range(first, len(whole)):
        path.write_bytes(whole[:end])
        assert read_frame_log(path) == [RECEIVED]


def test_an_unwritable_place_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="cannot write"):
        FrameLog(tmp_path / "missing" / "frames.csv")

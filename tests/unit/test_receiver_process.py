# SPDX-License-Identifier: GPL-3.0-or-later
"""The receiver in a process of its own, and what keeps a process in time with radios."""

import gc
import os
import threading
from dataclasses import fields

import numpy as np
import pytest

from gr_semantic.link.real_time import real_time
from gr_semantic.modem import Frame, Header, StreamReceiver, Waveform, modulate
from gr_semantic.modem.receiver_process import ReceiverProcess

WF = Waveform.load("ofdm64")


def frames_in_noise(rng):
    """Samples with two data frames and two of feedback."""
    parts = []
    for number in range(4):
        if number % 2:
            header, symbols = Header("feedback", sequence=number, snr_db=3.25), None
        else:
            header = Header("data", sequence=number, budget=8, image_count=3)
            symbols = rng.standard_normal((3, 16)).view(complex)
        parts += [np.zeros(900 + number), modulate(WF, header, symbols)]
    samples = np.concatenate([*parts, np.zeros(9000)])
    noise = rng.standard_normal(2 * len(samples)).view(complex)
    return (samples + 0.1 * noise).astype(np.complex64)


def test_frames_are_those_of_the_receiver_bit_for_bit():
    samples = frames_in_noise(np.random.default_rng(4))
    expected = StreamReceiver(WF, 2e6, 4096).push(samples)
    assert len(expected) == 4
    frames, threads = [], set()
    process = ReceiverProcess(
        WF, 2e6, 4096, lambda frame, found_s: (frames.append(frame), threads.add(threading.get_ident()))
    )
    try:
        for first in range(0, len(samples), 777):
            process.push(samples[first : first + 777])
    finally:
        process.close()
        process.close()
    assert len(frames) == 4 and threads != {threading.get_ident()}
    for frame, wanted in zip(frames, expected, strict=True):
        for field in fields(Frame):
            ours, theirs = getattr(frame, field.name), getattr(wanted, field.name)
            np.testing.assert_array_equal(ours, theirs)
            if isinstance(theirs, np.ndarray):
                assert ours.dtype == theirs.dtype and ours.shape == theirs.shape


def test_a_process_that_has_ended_takes_no_samples():
    process = ReceiverProcess(WF, 1e6, 4096, print)
    process._process.kill()
    process._process.wait()
    with pytest.raises(BrokenPipeError):
        process.push(np.zeros(100_000, np.complex64))
    process.close()


@pytest.mark.parametrize("one_core", [True, False])
def test_threads_stay_on_one_core_within_and_are_free_again(one_core):
    cores, seen, stop = os.sched_getaffinity(0), {}, threading.Event()
    other = threading.Thread(target=stop.wait)
    other.start()
    try:
        with real_time(one_core):
            born = threading.Thread(target=lambda: seen.update(born=os.sched_getaffinity(0)))
            born.start()
            born.join()
            seen |= {"main": os.sched_getaffinity(0), "other": os.sched_getaffinity(other.native_id)}
            assert gc.get_freeze_count() > 0
        after = os.sched_getaffinity(other.native_id)
    finally:
        stop.set()
        other.join()
    assert all(len(found) == (1 if one_core else len(cores)) for found in seen.values()) and len(seen) == 3
    assert os.sched_getaffinity(0) == after == cores and gc.get_freeze_count() == 0

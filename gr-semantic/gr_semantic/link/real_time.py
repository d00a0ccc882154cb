# SPDX-License-Identifier: GPL-3.0-or-later
"""What a process does while it runs a closed loop, or serves radios that wait for nobody."""

import contextlib
import gc
import os

from gr_semantic.short_slice import take_normal_slices, take_short_slices


@contextlib.contextmanager
def real_time(one_core: bool = True, short_slices: bool = False):
    """Within: the garbage collector leaves alone what was there before, which takes it 0.1 s each time, and with
    ``one_core`` all threads of this process, and those that they start, stay on one core. They share one interpreter:
    on two cores they hand it to each other at every call of numpy, ten thousand times a second. With ``short_slices``
    threads that are started within come before those that compute for long (see short_slice.py).
    """
    cores = os.sched_getaffinity(0)
    gc.collect()
    gc.freeze()
    if one_core:
        _put_threads_on({max(cores)})
    if short_slices:
        take_short_slices()
    try:
        yield
    finally:
        if short_slices:
            take_normal_slices()
        if one_core:
            _put_threads_on(cores)
        gc.unfreeze()


def _put_threads_on(cores):
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            os.sched_setaffinity(int(thread), cores)

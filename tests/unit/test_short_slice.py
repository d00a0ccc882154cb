# SPDX-License-Identifier: GPL-3.0-or-later
"""Short turns of a thread, as the kernel shows them."""

import platform
import re
import threading
from pathlib import Path

import pytest

from gr_semantic.short_slice import take_normal_slices, take_short_slices


def slice_ns():
    path = Path(f"/proc/self/task/{threading.get_native_id()}/sched")
    found = re.search(r"se\.slice\s*:\s*(\d+)", path.read_text()) if path.exists() else None
    return None if found is None else int(found[1])


def test_short_slices_are_those_of_the_thread_and_of_what_it_starts():
    release = tuple(map(int, re.findall(r"\d+", platform.release())[:2]))
    if release < (6, 12) or slice_ns() is None or platform.machine() != "x86_64":
        pytest.skip("this kernel has no slices to set, or does not show them")
    seen, before = [], slice_ns()

    def look():
        seen.append(slice_ns())
        take_normal_slices()
        seen.append(slice_ns())

    def work():
        take_normal_slices()  # whoever started this process
        seen.append(slice_ns())
        take_short_slices()
        seen.append(slice_ns())
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    normal = seen[0]
    assert normal > 200_000 and seen == [normal, 200_000, 200_000, normal]
    assert slice_ns() == before

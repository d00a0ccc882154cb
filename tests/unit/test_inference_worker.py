# SPDX-License-Identifier: GPL-3.0-or-later
import threading

import pytest
import torch

from gr_semantic.blocks.inference_worker import InferenceWorker


class Gate:
    """A process function that records its batches and can be held up."""

    def __init__(self, count):
        self.batches, self.count = [], count
        self.open, self.entered, self.done = threading.Event(), threading.Event(), threading.Event()

    def __call__(self, items):
        self.entered.set()
        assert self.open.wait(30)
        self.batches.append(items)
        if sum(map(len, self.batches)) >= self.count:
            self.done.set()


@pytest.fixture
def start():
    workers = []

    def make(*args, **kwargs):
        workers.append(InferenceWorker(*args, **kwargs))
        workers[-1].start()
        return workers[-1]

    yield make
    for worker in workers:
        worker.stop()


def test_order_and_batches(start):
    gate = Gate(11)
    worker = start(gate, batch_limit=4)
    worker.put(0)
    assert gate.entered.wait(30)
    assert all(worker.put(item) for item in range(1, 11))
    gate.open.set()
    assert gate.done.wait(30)
    assert gate.batches == [[0], [1, 2, 3, 4], [5, 6, 7, 8], [9, 10]] and worker.dropped == 0


def test_a_full_queue_drops_its_oldest(start):
    gate = Gate(4)
    worker = start(gate, capacity=3)
    worker.put(0)
    assert gate.entered.wait(30)
    assert [worker.put(item) for item in range(1, 6)] == [True, True, True, False, False]
    gate.open.set()
    assert gate.done.wait(30)
    assert gate.batches == [[0], [3], [4], [5]] and worker.dropped == 2


def test_warm_up_comes_first_and_in_the_thread(start):
    events, done = [], threading.Event()

    def warm_up():
        events.append(threading.current_thread())
        events.append(torch.get_num_threads())

    worker = start(lambda items: (events.append(items), done.set()), warm_up=warm_up)
    worker.put(1)
    assert done.wait(30)
    assert events[0] is not threading.current_thread() and events[1:] == [1, [1]]


def test_stop_in_any_state(start):
    never_started = InferenceWorker(print)
    never_started.stop()
    gate = Gate(1)
    worker = start(gate)
    worker.put(0)
    assert gate.entered.wait(30)
    worker.put(1)
    gate.open.set()
    worker.stop()
    worker.stop()
    assert gate.batches == [[0]]  # what waited is not worked on after a stop


def test_starts_again_after_a_stop(start):
    gate = Gate(1)
    gate.open.set()
    worker = start(gate)
    worker.stop()
    worker.start()
    worker.put(7)
    assert gate.done.wait(30) and gate.batches == [[7]]


def test_stop_does_not_wait_for_a_stuck_inference(start):
    gate = Gate(1)
    worker = start(gate)
    worker.put(0)
    assert gate.entered.wait(30)
    worker.stop()
    assert worker.stopping
    gate.open.set()

"""Work in parts on several cores: results in order, one core per part, and no part runs on after an error."""

import gc
import os
import signal
import threading
import time
import weakref

import pytest
import torch

from maskgrid.network.allocator import freed_memory_given_back
from maskgrid.network.memory import with_less
from maskgrid.network.workers import in_parts, one_ahead, one_behind

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_results_come_in_order_from_threads_of_one_core_without_gradients():
    meeting = threading.Barrier(2, timeout=60)

    def work(part):
        if part < 2:
            meeting.wait()  # passes only if two parts run at once
        return part, torch.get_num_threads(), torch.is_grad_enabled()

    assert in_parts(work, range(7), CPU) == [(part, 1, False) for part in range(7)]
    assert torch.get_num_threads() == 2


def test_later_threads_have_torchs_number_of_threads_again():
    in_parts(str, range(3), CPU)
    found = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert found == [2]


def test_no_part_runs_on_after_an_error():
    finished = []

    def work(part):
        if part == 0:
            raise torch.OutOfMemoryError("out of memory")
        time.sleep(0.2)
        finished.append(part)

    with pytest.raises(torch.OutOfMemoryError):
        in_parts(work, range(50), CPU)
    n_finished = len(finished)
    time.sleep(0.5)
    assert len(finished) == n_finished < 49
    assert in_parts(abs, [-1, -2], CPU) == [1, 2]


def test_one_core_or_another_device_works_in_this_thread():
    here = threading.get_ident()
    assert in_parts(lambda _: threading.get_ident(), range(3), torch.device("meta")) == [here] * 3
    torch.set_num_threads(1)
    assert in_parts(lambda _: threading.get_ident(), range(3), CPU) == [here] * 3


def test_work_runs_while_the_next_part_is_made():
    begun = [threading.Event() for _ in range(4)]
    made = []

    def parts():
        for number in range(4):
            made.append(number)
            yield number
            if number < 3:
                assert begun[number].wait(60)  # work on this part starts before the next part is made

    def work(part):
        begun[part].set()
        return part, torch.is_grad_enabled(), threading.get_ident()

    results = []
    for result in one_behind(work, parts(), CPU, beside=True):
        results.append(result[:2])
        assert result[2] != threading.get_ident()
        assert len(made) <= len(results) + 1  # at most two parts are held
    assert results == [(number, False) for number in range(4)]


@pytest.mark.parametrize("fails_in", ["work", "making"])
def test_errors_of_work_and_of_making_parts_are_raised(fails_in):
    def parts():
        yield from range(3)
        if fails_in == "making":
            raise ValueError("part 3")

    def work(part):
        if fails_in == "work" and part == 1:
            raise ValueError("part 1")
        return part

    with pytest.raises(ValueError, match="part 1" if fails_in == "work" else "part 3"):
        list(one_behind(work, parts(), CPU, beside=True))


@pytest.mark.parametrize(
    "in_turn",
    [
        lambda work, parts: one_behind(work, parts, CPU, beside=True),
        lambda work, parts: one_ahead(work, parts, beside=True),
    ],
    ids=["behind", "ahead"],
)
def test_an_error_keeps_no_tensors_alive(in_turn):
    """GPU memory must be free before less is tried, not only after the next garbage collection."""
    held = []

    def work(part):
        tensor = torch.zeros(1000)
        held.extend([weakref.ref(tensor), weakref.ref(part)])
        raise torch.OutOfMemoryError("out of memory")

    def attempt(size):
        if size == 2:
            return list(in_turn(work, (torch.zeros(10) for _ in range(3))))
        return {tensor() is None for tensor in held}

    gc.disable()
    try:
        assert with_less(attempt, 2) == {True}
    finally:
        gc.enable()


def test_without_beside_each_part_is_done_as_it_comes():
    order = []

    def parts():
        for number in range(2):
            order.append(f"made {number}")
            yield number

    assert list(one_behind(lambda part: order.append(f"done {part}"), parts(), CPU, beside=False)) == [None, None]
    assert order == ["made 0", "done 0", "made 1", "done 1"]
    assert list(one_behind(str, iter(()), CPU, beside=True)) == []


def test_giving_memory_back_does_nothing_unless_memory_is_kept():
    with freed_memory_given_back():  # this process keeps no freed memory, so this is a plain block
        assert torch.ones(3).sum() == 3


def test_a_forked_process_has_its_own_threads():
    assert in_parts(abs, [-1, -2], CPU) == [1, 2]
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        os._exit(int(in_parts(abs, [-1, -2], CPU) != [1, 2]))
    assert os.waitpid(child, 0)[1] == 0

# SPDX-License-Identifier: Apache-2.0
"""Items come in order, some of them ahead, and a thread is never left behind."""

from __future__ import annotations

import threading

import pytest

from kd_yolo_ros.frames.prefetch import prefetch

PATIENCE_S = 20


def workers():
    return [thread for thread in threading.enumerate() if thread.name == 'prefetch']


def test_everything_in_order():
    assert list(prefetch(range(100))) == list(range(100))
    assert list(prefetch([])) == []
    assert list(prefetch([None, 0, False])) == [None, 0, False]
    assert not workers()


def test_items_are_made_ahead_but_not_all():
    made, third = [], threading.Event()

    def source():
        for number in range(1000):
            made.append(number)
            if number == 3:
                third.set()
            yield number

    items = prefetch(source(), depth=2)
    assert not made, 'nothing happens before the first is wanted'
    assert next(items) == 0
    assert third.wait(PATIENCE_S), 'two wait, and a third has been made'
    assert len(made) <= 5
    items.close()
    assert not workers() and len(made) < 10


def test_an_error_comes_after_the_items_before_it():
    def source():
        yield 1
        yield 2
        raise RuntimeError('cut off')

    items = prefetch(source())
    assert next(items) == 1 and next(items) == 2
    with pytest.raises(RuntimeError, match='cut off'):
        next(items)
    assert not workers()


def test_leaving_early_ends_the_thread_and_the_source():
    ended = threading.Event()

    def source():
        try:
            number = 0
            while True:
                yield number
                number += 1
        finally:
            ended.set()

    endless = source()
    for number in prefetch(endless):
        if number == 5:
            break
    assert not workers()
    endless.close()
    assert ended.wait(PATIENCE_S)


def test_work_is_done_in_another_thread():
    def source():
        yield threading.current_thread().name

    assert list(prefetch(source())) == ['prefetch']

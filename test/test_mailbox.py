# SPDX-License-Identifier: Apache-2.0
"""The newest item waits, and every item is accounted for."""

from __future__ import annotations

import threading

from kd_yolo_ros.mailbox import Mailbox

PATIENCE_S = 20


def in_thread(function):
    """Run a function in a thread; what is returned joins it and gives its result."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function()), daemon=True)
    thread.start()

    def join():
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), 'it still waits'
        return results[0]

    return join


def test_the_newest_item_is_taken():
    mailbox = Mailbox()
    for item in 'abc':
        mailbox.put(item)
    assert mailbox.take() == 'c'
    assert (mailbox.received, mailbox.replaced) == (3, 2)
    mailbox.put('d')
    assert mailbox.take() == 'd'
    assert (mailbox.received, mailbox.replaced) == (4, 2)


def test_the_taker_waits():
    mailbox = Mailbox()
    taken = in_thread(mailbox.take)
    mailbox.put('a')
    assert taken() == 'a' and mailbox.replaced == 0


def test_closing_wakes_the_taker():
    mailbox = Mailbox()
    taken = in_thread(mailbox.take)
    mailbox.close()
    assert taken() is None and mailbox.take() is None


def test_what_nobody_takes_any_more_is_replaced():
    mailbox = Mailbox()
    mailbox.put('a')
    mailbox.close()
    mailbox.put('b')  # from a callback that was under way
    assert mailbox.take() is None
    assert (mailbox.received, mailbox.replaced) == (2, 2)


def test_false_items_are_items():
    mailbox = Mailbox()
    mailbox.put(0)
    assert mailbox.take() == 0


def test_every_item_is_taken_or_replaced_in_order():
    mailbox = Mailbox()

    def take_all():
        return list(iter(mailbox.take, None))

    taken = in_thread(take_all)
    for item in range(20_000):
        mailbox.put(item)
    mailbox.close()
    items = taken()
    assert items == sorted(set(items))
    assert mailbox.received == 20_000 == len(items) + mailbox.replaced

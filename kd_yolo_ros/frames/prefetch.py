# SPDX-License-Identifier: Apache-2.0
"""Prepare the next items in a thread, so that decoding does not delay their sending."""

from __future__ import annotations

import queue
import threading
from typing import Any, Iterable, Iterator, TypeVar

Item = TypeVar('Item')

_END = object()


def prefetch(items: Iterable[Item], depth: int = 4) -> Iterator[Item]:
    """Yield the items; up to `depth` of them are made ahead.

    An exception of the source is raised here, after the items before it.
    """
    ready: queue.Queue[Any] = queue.Queue(maxsize=depth)
    stopping = threading.Event()

    def put(item: Any) -> bool:
        while not stopping.is_set():
            try:
                ready.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not put((item, None)):
                    return
            put((_END, None))
        except BaseException as error:
            put((_END, error))

    worker = threading.Thread(target=work, name='prefetch', daemon=True)
    worker.start()
    try:
        while True:
            item, error = ready.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        stopping.set()
        worker.join()

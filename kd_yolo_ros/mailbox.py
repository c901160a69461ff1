# SPDX-License-Identifier: Apache-2.0
"""A one-place mailbox: the newest item waits, an older one that nobody took is replaced."""

from __future__ import annotations

import threading
from typing import Generic, Optional, TypeVar

Item = TypeVar('Item')


class Mailbox(Generic[Item]):
    """Hands the newest item from one thread to another.

    Detections of an old picture help nobody, so there is no queue that could fall behind.

    Attributes:
        received: items put in so far.
        replaced: items that a newer one replaced before they were taken.
    """

    def __init__(self) -> None:
        self.received = 0
        self.replaced = 0
        self._item: Optional[Item] = None
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: Item) -> None:
        """Put an item in, replacing one that still waits; once closed, it is itself replaced."""
        with self._changed:
            self.received += 1
            self.replaced += self._item is not None or self._closed
            self._item = None if self._closed else item
            self._changed.notify()

    def take(self) -> Optional[Item]:
        """Wait for an item and take it; None once the mailbox is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._closed)
            if self._closed:
                return None
            item, self._item = self._item, None
            return item

    def close(self) -> None:
        """Wake the taker for the last time; an item that still waits counts as replaced."""
        with self._changed:
            self.replaced += self._item is not None
            self._item = None
            self._closed = True
            self._changed.notify_all()

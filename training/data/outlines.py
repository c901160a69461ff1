# SPDX-License-Identifier: Apache-2.0
"""Outlines as rows of as many points each, which is what transforms take, and masks of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

OUTLINE_POINTS = 128  # of an object in all its pieces; of COCO's objects one in 500 has more
BOX_POINTS = 32  # of them on its box, where that does not follow from the pieces
LEAST_POINTS = 4  # of a piece
FARTHEST = 2  # that neighbours may lie apart where corners are kept, times what even points would
MASK_STRIDE = 4  # pixels of the network's input for one of a mask, as of the head's prototypes
UNKNOWN = 255  # in the mask of an object whose outline is not known


def outline(
    rings: Sequence[np.ndarray], box: np.ndarray | None = None
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return an object's polygons as OUTLINE_POINTS points, and where in them each polygon ends.

    Corners are kept where there are not too many: transforms that cut may take the box from the
    points inside, so none may lie far from its neighbours. Other points go into the longest gaps.
    The extremes are kept always, so that the box of the points is the box of the polygons. Of very
    many pieces the smallest are left out.

    Args:
        rings: (K, 2) each.
        box: (4,) x1 y1 x2 y2, for an object whose polygons are none or do not fill its box: the
            last points then lie on the box, behind the last end, and the polygons are cut to it.
    """
    if box is None:
        return _pieces(rings, OUTLINE_POINTS)
    path = _box_path(box)
    if not rings:
        return _along(path, np.arange(len(path)), OUTLINE_POINTS).astype(np.float32), ()
    inside = [np.clip(ring, box[:2], box[2:]) for ring in rings]
    points, ends = _pieces(inside, OUTLINE_POINTS - BOX_POINTS)
    around = _along(path, np.arange(len(path)), BOX_POINTS).astype(np.float32)
    return np.concatenate((points, around)), ends


def _box_path(box: np.ndarray) -> np.ndarray:
    """Return a line along the sides of a box and across its middle, (12, 2).

    The middle is for transforms that cut: what they find of a box whose sides are all outside.
    """
    (x1, y1, x2, y2), (x, y) = box, (box[:2] + box[2:]) / 2
    rows = ((x1, y1), (x2, y1), (x2, y), (x1, y), (x1, y2), (x2, y2))
    columns = ((x2, y2), (x2, y1), (x, y1), (x, y2), (x1, y2), (x1, y1))
    return np.array((*rows, *columns))


def _pieces(rings: Sequence[np.ndarray], total: int) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return polygons as so many points, (total, 2) float32, and where each of them ends."""
    points = np.concatenate(rings)
    extremes = np.unique((points.argmin(0), points.argmax(0)))
    gaps = [np.linalg.norm(np.roll(ring, -1, 0) - ring, axis=1) for ring in rings]
    lengths = np.array([sides.sum() for sides in gaps], np.float64)
    counts = _shares(lengths, total - len(extremes))
    parts, start = [], 0
    for ring, sides, length, count in zip(rings, gaps, lengths, counts.tolist(), strict=True):
        kept = extremes[(extremes >= start) & (extremes < start + len(ring))] - start
        start += len(ring)
        count += len(kept)
        between = np.ceil(sides * count / max(FARTHEST * length, 1e-12)) - 1
        if len(ring) + between.clip(0).sum() <= count:
            kept = np.arange(len(ring))
        elif count and not len(kept):
            kept = np.arange(1)
        parts.append(_along(np.concatenate((ring, ring[:1])), kept, count, closed=True))
    ends = np.cumsum([len(part) for part in parts])
    return np.concatenate(parts).astype(np.float32), tuple(ends.tolist())


def _along(line: np.ndarray, kept: np.ndarray, count: int, closed: bool = False) -> np.ndarray:
    """Return `count` points of a line in their order, (count, 2).

    Args:
        line: (K, 2); a closed one ends where it starts.
        kept: indices of those of its corners that are among the points.
        count: not less than these.
        closed: whether the points go on to the first again, which is not repeated.
    """
    if not len(kept):
        return np.zeros((0, 2))
    at = np.append(0, np.linalg.norm(np.diff(line.astype(np.float64), axis=0), axis=1).cumsum())
    stops = np.append(at[kept], at[kept[0]] + at[-1]) if closed else at[kept]
    gaps = np.diff(stops)
    more = count - len(kept)
    # Each gap gets its share, rounded down, and what is left goes where the steps are longest.
    into = np.floor(more * gaps / max(gaps.sum(), 1e-12)).astype(int)
    for _ in range(more - into.sum()):
        into[np.argmax(gaps / (into + 1))] += 1
    of = np.repeat(np.arange(len(gaps)), into + 1)  # the gap that each point is in, or begins
    step = np.arange(len(of)) - np.searchsorted(of, of)
    wanted = stops[of] + gaps[of] * step / (into + 1)[of]
    wanted = wanted if closed else np.append(wanted, stops[-1])
    wanted = np.where(wanted > at[-1], wanted - at[-1], wanted)
    return np.stack([np.interp(wanted, at, line[:, axis]) for axis in (0, 1)], 1)


def _shares(lengths: np.ndarray, points: int) -> np.ndarray:
    """Return how many points each piece gets: by its length, LEAST_POINTS, or none at all."""
    counts = np.zeros(len(lengths), int)
    by_length = points * lengths / max(lengths.sum(), 1e-12)
    longest_first = np.argsort(-lengths, kind='stable')
    for piece in longest_first:
        wanted = max(LEAST_POINTS, int(by_length[piece]))
        if counts.sum() + wanted <= points:
            counts[piece] = wanted
    counts[longest_first[0]] += points - counts.sum()
    return counts


def mask_of(points: np.ndarray, ends: Sequence[int], height: int, width: int) -> np.ndarray:
    """Return which pixels an outline covers, (height, width) uint8 of 0 and 1.

    What any of its pieces covers is covered, as in COCO, whose tools decide on the borders. What
    is too small for any pixel keeps the one in its middle.

    Args:
        points: (K, 2) x and y, 0 to 1 from border to border; what is outside is cut.
        ends: where in them each piece ends; points behind the last are none of the mask.
        height: of the mask.
        width: of the mask.
    """
    from pycocotools import mask

    canvas = np.zeros((height, width), np.uint8)
    pixels = points[: ends[-1]].astype(np.float64) * (width, height)
    left, top = np.floor(pixels.min(0)).clip(0, (width - 1, height - 1)).astype(int)
    right, bottom = np.ceil(pixels.max(0)).clip((left + 1, top + 1), (width, height)).astype(int)
    pieces = np.split(pixels - (left, top), ends[:-1])
    flat = [piece.ravel().tolist() for piece in pieces if len(piece) > 2]
    if flat:
        runs = mask.frPyObjects(flat, int(bottom - top), int(right - left))
        canvas[top:bottom, left:right] = mask.decode(mask.merge(runs))
    if not canvas.any():
        canvas[(top + bottom - 1) // 2, (left + right - 1) // 2] = 1
    return canvas

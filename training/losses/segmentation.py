# SPDX-License-Identifier: Apache-2.0
"""The YOLOv5 segmentation loss: that of detection, and of the masks by cross-entropy.

Definition: YOLOv5 v7.0 (Jocher et al., doi:10.5281/zenodo.7347926), after YOLACT (Bolya et al.,
ICCV 2019, arXiv 1904.02689).
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from ..data.outlines import UNKNOWN
from .detection import DetectionLoss
from .mask_crops import Crops, answers_of, compare, picture_means


class SegmentationLoss(DetectionLoss):
    """The loss of a segmentation head's raw outputs.

    Every cell that answers for an object composes a mask, its coefficients times the prototypes.
    Binary cross-entropy with the object's mask is added up over the cells of the object's box and
    divided by the box's area. Of that, the mean over a picture's answers of a level, summed over
    the levels, averaged over the pictures, with the gain of boxes.

    Objects whose mask is not known train boxes and classes alone. A label of weight w counts as
    w labels.

    Args are those of `DetectionLoss`.
    """

    def forward(
        self, outputs: tuple[Tensor, ...], targets: Tensor, masks: Tensor
    ) -> dict[str, Tensor]:
        """Return `loss` and its parts, as `DetectionLoss` does, and `masks` among the parts.

        Args:
            outputs: of the head: (B, A * (5 + classes + M), H, W) for each level, and the
                prototypes (B, M, S/4, S/4).
            targets: as in `DetectionLoss`.
            masks: (N, S/4, S/4) uint8, each target's mask: 0 and 1, or all `UNKNOWN`.
        """
        *raw, protos = outputs
        levels = self.match(tuple(raw), targets)
        parts = self.total(levels)
        answers = answers_of(levels, protos.shape[1], masks[:, 0, 0] != UNKNOWN)
        flat = masks.flatten(1)

        def difference(crops: Crops, logits: Tensor) -> Tensor:
            wanted = flat[crops.target[:, None], crops.places % flat.shape[1]].float()
            return functional.binary_cross_entropy_with_logits(
                logits, wanted[:, None].expand_as(logits), reduction='none'
            )

        values = compare(targets, answers, protos, difference)
        means = picture_means(values, answers, len(levels), len(protos))
        part = self.gains.box * means.mean()
        return {
            **parts,
            'loss': parts['loss'] + part * len(protos),
            'masks': part.detach(),
        }

"""Teacher-student training for instance segmentation, with refined masks of the teacher as pseudo labels.

Legend: B images, N instances of one, H and W the size of a view in pixels. A view is the image after the augmentation
of a branch of the pipeline; its ``homography_matrix`` maps the image to the view.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from mmdet.models.detectors import SemiBaseDetector
from mmdet.models.utils import rename_loss_dict, reweight_loss_dict
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor

from mmrefine.core.crops import mask_boxes
from mmrefine.core.iou import binary_iou
from mmrefine.core.pseudo_labels import PseudoLabelFilter
from mmrefine.core.view_geometry import view_to_view, warp_masks
from mmrefine.models.model_zoo import build_refiner
from mmrefine.models.refiners import RefineInput
from mmrefine.registry import MODELS


class PseudoLabelStats(NamedTuple):
    """Statistics of the pseudo labels of one batch.

    Attributes:
        num_labels: number of pseudo labels for the student.
        mean_quality: mean of the refiner's quality estimates of these; 0 without any.
        best_score: maximum confidence of the teacher's predictions; 0 without any.
    """

    num_labels: int
    mean_quality: float
    best_score: float


@MODELS.register_module()
class MaskTeacher(SemiBaseDetector):
    """Semi-supervised detector (MMDetection's framework) with refined pseudo masks.

    The teacher predicts on its view of an unlabelled image. Predictions with sufficient confidence are refined on that
    view, filtered by :class:`~mmrefine.core.pseudo_labels.PseudoLabelFilter`, and warped to the student's view, which
    may be flipped, scaled or rotated. Boxes are those of the warped masks. The refiner's quality estimate is the weight
    of the instance, which :class:`WeightedFCNMaskHead` uses and other heads ignore.

    The refiner is not part of the model: it is neither trained nor averaged nor saved in checkpoints.

    Args:
        detector: config of an instance segmenter such as Mask R-CNN, SOLOv2 or RTMDet-Ins, for teacher and student.
        refiner: name of a bundled model, or the config of a refiner; None: masks are not refined.
        label_filter: keyword arguments of :class:`~mmrefine.core.pseudo_labels.PseudoLabelFilter`.
        semi_train_cfg: ``sup_weight``, ``unsup_weight`` and ``freeze_teacher``, see MMDetection's ``SemiBaseDetector``.
        semi_test_cfg: ``predict_on``, ``'teacher'`` or ``'student'``.
        data_preprocessor: MMDetection's ``MultiBranchDataPreprocessor``; images must be loaded as BGR, OpenMMLab's
            default.
        init_cfg: see mmengine's ``BaseModule``.

    Attributes:
        last_pseudo_labels: :class:`PseudoLabelStats` of the last batch; None before the first.
    """

    def __init__(
        self,
        detector: dict,
        refiner: str | dict | None = 'segrefiner_tiny',
        label_filter: dict | None = None,
        semi_train_cfg: dict | None = None,
        semi_test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            detector, ConfigDict(semi_train_cfg or {}), ConfigDict(semi_test_cfg or {}), data_preprocessor, init_cfg
        )
        # Not registered as a submodule, which would be trained, saved and averaged.
        object.__setattr__(self, 'refiner', None if refiner is None else build_refiner(refiner, device='cpu'))
        self.label_filter = PseudoLabelFilter(**(label_filter or {}))
        self.last_pseudo_labels: PseudoLabelStats | None = None

    @torch.no_grad()
    def get_pseudo_instances(
        self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample]
    ) -> tuple[list[DetDataSample], dict]:
        """Predictions of the teacher, refined and filtered, in the teacher's view.

        Args:
            batch_inputs: (B, 3, H, W), output of the data preprocessor.
            batch_data_samples: one data sample per image.

        Returns:
            the samples with ``gt_instances``: ``masks`` (N, H, W) bool array, ``labels``, ``scores``, ``weights`` and
            ``ignored``; and ``best_score``, the maximum confidence of all predictions.

        Raises:
            ValueError: the teacher predicts no masks, or masks that do not have the size of its view.
        """
        self.teacher.eval()
        views = [_as_original(sample) for sample in batch_data_samples]
        predictions = self.teacher.predict(batch_inputs, views, rescale=True)
        candidates = [self._candidates(prediction) for prediction in predictions]
        scores = torch.cat([prediction.pred_instances.scores for prediction in predictions])
        images = [self._view_image(x, view.img_shape) for x, view in zip(batch_inputs, views, strict=True)]
        refined = self._refine(images, candidates)
        for sample, instances, results in zip(batch_data_samples, candidates, refined, strict=True):
            sample.gt_instances = self._sorted(instances, *results)
        return batch_data_samples, {'best_score': scores.max().item() if len(scores) else 0.0}

    def project_pseudo_instances(
        self, batch_pseudo_instances: list[DetDataSample], batch_data_samples: list[DetDataSample]
    ) -> list[DetDataSample]:
        """Warp the teacher's instances to the student's views; instances outside the view are dropped.

        Args:
            batch_pseudo_instances: output of :meth:`get_pseudo_instances`.
            batch_data_samples: the same images in the student's view.

        Returns:
            the student's samples with ``gt_instances`` (``bboxes``, ``labels``, ``scores``, ``weights`` and ``masks``)
            and ``ignored_instances``.
        """
        for teacher, student in zip(batch_pseudo_instances, batch_data_samples, strict=True):
            instances = teacher.gt_instances
            masks = warp_masks(
                instances.masks, view_to_view(_homography(teacher), _homography(student)), student.img_shape[:2]
            )
            areas_px = torch.from_numpy(np.count_nonzero(masks, axis=(1, 2)))
            visible = areas_px >= max(self.label_filter.min_area_px, 1)
            projected = InstanceData(
                bboxes=torch.from_numpy(mask_boxes(masks)).to(instances.scores),
                labels=instances.labels,
                scores=instances.scores,
                weights=instances.weights,
            )
            ignored = instances.ignored
            student.gt_instances = projected[(visible & ~ignored).to(projected.labels.device)]
            student.gt_instances.masks = _padded(masks[(visible & ~ignored).numpy()], student)
            student.ignored_instances = projected[(visible & ignored).to(projected.labels.device)]
        return batch_data_samples

    def loss_by_pseudo_instances(
        self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample], batch_info: dict | None = None
    ) -> dict:
        """Losses of the student on pseudo labels, times ``unsup_weight``, or times 0 if there are none.

        Raises:
            ValueError: the student learns from more than instances, such as semantic maps.
        """
        weights = torch.cat([sample.gt_instances.weights for sample in batch_data_samples])
        self.last_pseudo_labels = PseudoLabelStats(
            len(weights), weights.mean().item() if len(weights) else 0.0, (batch_info or {}).get('best_score', 0.0)
        )
        try:
            losses = self.student.loss(batch_inputs, batch_data_samples)
        except AttributeError as error:
            raise ValueError(
                f'{type(self.student).__name__} learns from more than the boxes, labels and masks of pseudo labels '
                f'({error}); take a detector without a semantic branch or box supervision.'
            ) from error
        unsup_weight = self.semi_train_cfg.get('unsup_weight', 1.0) if len(weights) else 0.0
        return rename_loss_dict('unsup_', reweight_loss_dict(losses, unsup_weight))

    def _candidates(self, sample: DetDataSample) -> InstanceData:
        """Predictions that can become pseudo labels or ignored objects; only these are refined."""
        instances = sample.get('pred_instances')
        if instances is None or 'masks' not in instances:
            got = sorted((sample if instances is None else instances).keys())
            raise ValueError(
                f'MaskTeacher needs a detector that predicts masks of instances, such as Mask R-CNN, got {got}.'
            )
        if len(instances) and tuple(instances.masks.shape[1:]) != tuple(sample.img_shape[:2]):
            raise ValueError(
                f'expected masks in the size of the view, {tuple(sample.img_shape[:2])} (H, W), from '
                f'{type(self.teacher).__name__}, got {tuple(instances.masks.shape[1:])}; MaskTeacher needs a detector '
                'whose predict(rescale=True) has the size of ori_shape.'
            )
        minimum = self.label_filter.ignore_score
        return instances[instances.scores >= (self.label_filter.min_score if minimum is None else minimum)]

    def _refine(self, images: list[np.ndarray], candidates: list[InstanceData]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Refined masks (N, H, W) bool and quality estimates (N,) of each image."""
        coarse = [
            instances.masks.cpu().numpy().astype(bool).reshape(-1, *image.shape[:2])
            for instances, image in zip(candidates, images, strict=True)
        ]
        if self.refiner is None:
            return [(masks, np.ones(len(masks))) for masks in coarse]
        self.refiner.to(self.data_preprocessor.device)
        results = self.refiner.refine_batch([RefineInput(*pair) for pair in zip(images, coarse, strict=True)])
        return [(result.masks, result.scores) for result in results]

    def _sorted(self, instances: InstanceData, masks: np.ndarray, qualities: np.ndarray) -> InstanceData:
        """Candidates that pass the filter, with ``ignored`` for ignored objects."""
        coarse = instances.masks.cpu().numpy().astype(bool).reshape(masks.shape)
        areas_px = np.count_nonzero(masks, axis=(1, 2))
        scores = instances.scores.cpu().numpy()
        labels, ignored = self.label_filter.sort(scores, qualities, binary_iou(coarse, masks), areas_px)
        kept = torch.from_numpy(labels | ignored)
        on_device = kept.to(instances.scores.device)
        return InstanceData(
            masks=masks[kept.numpy()],
            labels=instances.labels[on_device],
            scores=instances.scores[on_device],
            weights=torch.from_numpy(qualities)[kept].to(instances.scores),
            ignored=torch.from_numpy(ignored)[kept],
        )

    def _view_image(self, inputs: Tensor, size_hw: tuple[int, int]) -> np.ndarray:
        """Image of a teacher's view, (H, W, 3) uint8 RGB, from its (3, H, W) network input."""
        preprocessor = self.data_preprocessor.data_preprocessor
        if preprocessor._enable_normalize:
            inputs = inputs * preprocessor.std + preprocessor.mean
        if not preprocessor._channel_conversion:  # the network takes BGR, as images are loaded
            inputs = inputs.flip(0)
        pixels = inputs[:, : size_hw[0], : size_hw[1]].permute(1, 2, 0)
        return pixels.round().clamp(0, 255).to(torch.uint8).cpu().numpy()


def _as_original(sample: DetDataSample) -> DetDataSample:
    """The sample of a view with the view as the original image.

    Without rescaling, sizes of predicted masks differ between heads (SOLOv2: original size, RTMDet-Ins: padded batch);
    with rescaling, all heads predict in the original size, here that of the view.
    """
    view = sample.new()
    view.set_metainfo({'ori_shape': sample.img_shape[:2], 'scale_factor': (1.0, 1.0)})
    return view


def _padded(masks: np.ndarray, sample: DetDataSample) -> BitmapMasks:
    """Masks (N, H, W) of a view as ``BitmapMasks``, padded like the images of the batch, as some heads expect."""
    return BitmapMasks(masks, *masks.shape[1:]).pad(sample.batch_input_shape, pad_val=0)


def _homography(sample: DetDataSample) -> np.ndarray:
    matrix = sample.metainfo.get('homography_matrix')
    if matrix is None:
        raise ValueError(
            "a view of an unlabelled image has no homography_matrix; add 'homography_matrix' to the meta_keys of "
            'PackDetInputs in the pipelines of teacher and student.'
        )
    return np.asarray(matrix)

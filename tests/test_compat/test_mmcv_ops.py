"""The replacement against mmcv's compiled ops and torchvision.

`tests/data/mmcv_ops_reference.npz` holds seeded inputs and what the C++ CPU ops of mmcv 2.1.0 answered to them.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from mmrefine.compat import install_mmcv_ops

pytest.importorskip('mmcv')
install_mmcv_ops()
from mmcv import ops  # noqa: E402
from mmengine.utils.dl_utils import mmcv_full_available  # noqa: E402

STAND_IN = 'mmrefine' in str(sys.modules['mmcv._ext'].__spec__.origin)
# Both sides compute in float32 and differ in summation order only; values are of order one.
TOLERANCE = {'rtol': 1e-4, 'atol': 1e-5}


@pytest.fixture(scope='module')
def reference() -> dict[str, torch.Tensor]:
    path = Path(__file__).parents[1] / 'data' / 'mmcv_ops_reference.npz'
    with np.load(path) as archive:
        return {name: torch.from_numpy(archive[name]) for name in archive.files}


def output_gradient(output: torch.Tensor) -> torch.Tensor:
    """The gradient that the reference was made with."""
    return torch.arange(output.numel(), dtype=torch.float32).reshape(output.shape) / output.numel() - 0.4


def leaf(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.clone().requires_grad_()


@pytest.mark.parametrize('offset', [0, 1])
def test_nms_keeps_what_mmcv_keeps(reference, offset):
    dets, kept = ops.nms(reference['boxes'], reference['scores'], 0.3, offset)
    assert kept.tolist() == reference[f'nms_{offset}'].tolist()
    torch.testing.assert_close(dets[:, :4], reference['boxes'][kept])
    torch.testing.assert_close(dets[:, 4], reference['scores'][kept])


def test_nms_limits_and_types(reference):
    boxes, scores = reference['boxes'], reference['scores']
    kept = torchvision.ops.nms(boxes, scores, 0.3)
    _, limited = ops.nms(boxes, scores, 0.3, score_threshold=0.5, max_num=3)
    assert limited.tolist() == [i for i in kept.tolist() if scores[i] > 0.5][:3]
    _, of_numpy = ops.nms(boxes.numpy(), scores.numpy(), 0.3)
    assert isinstance(of_numpy, np.ndarray) and of_numpy.tolist() == kept.tolist()
    _, of_half_scores = ops.nms(boxes, scores.half(), 0.3)
    assert of_half_scores.tolist() == kept.tolist()
    assert len(ops.nms(boxes[:0], scores[:0], 0.3)[1]) == 0


@pytest.mark.parametrize(('aligned', 'sampling_ratio'), list(itertools.product([0, 1], [0, 2])))
def test_roi_align_equals_mmcv_and_torchvision(reference, aligned, sampling_ratio):
    features, rois = leaf(reference['features']), reference['rois']
    pooled = ops.roi_align(features, rois, (5, 4), 0.25, sampling_ratio, 'avg', bool(aligned))
    torch.testing.assert_close(pooled, reference[f'roi_align_{aligned}_{sampling_ratio}'], **TOLERANCE)
    direct = torchvision.ops.roi_align(features, rois, (5, 4), 0.25, sampling_ratio or -1, bool(aligned))
    torch.testing.assert_close(pooled, direct, rtol=0, atol=0)
    pooled.backward(output_gradient(pooled))
    expected = reference[f'roi_align_{aligned}_{sampling_ratio}_grad']
    torch.testing.assert_close(features.grad, expected, **TOLERANCE)


def test_roi_align_gradient_is_the_finite_difference():
    generator = torch.Generator().manual_seed(1)
    features = torch.rand(2, 2, 6, 7, generator=generator, dtype=torch.float64, requires_grad=True)
    rois = torch.tensor([[0, 0.3, 0.4, 5.1, 4.2], [1, 2, 1, 6, 5]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: ops.roi_align(x, rois, (2, 3), 1.0, 2), features)


def test_roi_align_in_half_precision_rounds_only_its_output(reference):
    features, rois = reference['features'].bfloat16(), reference['rois']
    pooled = ops.roi_align(features, rois, (5, 4), 0.25)
    exact = ops.roi_align(features.float(), rois, (5, 4), 0.25)
    torch.testing.assert_close(pooled, exact.bfloat16(), rtol=0, atol=0)
    assert ops.roi_align(features, rois[:0], (5, 4), 0.25).shape == (0, 3, 5, 4)


@pytest.mark.skipif(not STAND_IN, reason='mmcv has its compiled ops here')
def test_other_ops_name_themselves_and_the_cure():
    with pytest.raises(NotImplementedError, match=r"'nms_match' needs the compiled ops.*onedl-mmcv"):
        ops.nms_match(torch.rand(3, 5), 0.5)
    with pytest.raises(NotImplementedError, match=r"pool_mode='max'"):
        ops.roi_align(torch.rand(1, 1, 4, 4), torch.tensor([[0.0, 0, 0, 3, 3]]), 2, 1.0, 0, 'max')
    assert 'stand-in' in ops.get_compiler_version()


def test_mmengine_believes_in_the_ops():
    assert mmcv_full_available()


@pytest.mark.skipif(not STAND_IN, reason='mmcv has its compiled ops here')
def test_says_once_in_the_log_what_it_did(run_python):
    code = (
        'import mmrefine.compat as c; c.setup(); c.setup(); print("not yet"); import mmcv.ops, mmcv.ops.nms, mmcv._ext'
    )
    result = run_python(code)
    assert result.returncode == 0, result.stderr
    log = result.stdout.partition('not yet')[2] + result.stderr
    assert log.count('mmrefine provides nms and RoIAlign') == 1


def test_steps_aside_for_real_ops(tmp_path, run_python):
    (tmp_path / '_ext.py').write_text('marker = 1\ndef __getattr__(name):\n    return None\n')
    code = (
        f'import mmcv; mmcv.__path__.insert(0, {str(tmp_path)!r})\n'
        'from mmrefine.compat import install_mmcv_ops; install_mmcv_ops()\n'
        'import mmcv.ops, mmcv._ext; print(mmcv._ext.marker)'
    )
    result = run_python(code)
    assert result.stdout.strip() == '1', result.stderr
    assert 'mmrefine provides' not in result.stderr


def test_config_entry_installs_it(tmp_path, run_python):
    config = tmp_path / 'config.py'
    config.write_text("custom_imports = dict(imports=['mmrefine.compat.auto'])\n")
    result = run_python(
        f'from mmengine.config import Config; Config.fromfile({str(config)!r}); import mmcv.ops; print("fine")'
    )
    assert result.stdout.strip().endswith('fine'), result.stderr

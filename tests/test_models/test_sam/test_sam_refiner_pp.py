"""SAMRefiner++: what is trained and stored, the loss, and that training does what it is for."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from pycocotools import mask as coco_mask

from mmrefine.models.losses import IoURankingLoss
from mmrefine.models.model_zoo import build_refiner, read_weights
from mmrefine.models.refiners import SAMRefiner, SAMRefinerPP
from mmrefine.structures import RefineDataSample
from tests.helpers.synthetic_scenes import make_scene
from tests.helpers.tiny_sam import RANDOM, random_sam, trained_backend

EPOCHS, ACCUMULATE = 10, 5


def to_inputs(image: np.ndarray, coarse: np.ndarray):
    return [torch.from_numpy(image).permute(2, 0, 1)], [RefineDataSample(coarse_masks=coarse)]


@pytest.fixture(scope='module')
def adapted():
    """A refiner before and after training on coarse masks alone, with the losses of every image and epoch."""
    scenes = [make_scene(seed) for seed in range(24)]
    refiner = SAMRefinerPP(trained_backend())
    held_out = [make_scene(seed) for seed in range(100, 112)]
    features = {scene[0].tobytes(): refiner.encode(scene[0]) for scene in scenes + held_out}
    refiner.encode = lambda image: features[image.tobytes()]
    torch.manual_seed(0)
    torch.nn.init.kaiming_uniform_(refiner.adaption.down, a=5**0.5)
    frozen = {name: value.clone() for name, value in refiner.backend.named_parameters() if 'update' not in name}
    before = np.concatenate([refiner.top1(*scene) for scene in held_out])
    optimizer = torch.optim.SGD(refiner.adaption.parameters(), lr=1e-2, momentum=0.9, weight_decay=5e-4)
    losses = []
    order = np.random.default_rng(0)
    for _ in range(EPOCHS):
        for number, k in enumerate(order.permutation(len(scenes))):
            loss = refiner(*to_inputs(*scenes[k][:2]), mode='loss')['loss_rank']
            (loss / ACCUMULATE).backward()
            losses.append(float(loss.detach()))
            if number % ACCUMULATE == ACCUMULATE - 1:
                optimizer.step()
                optimizer.zero_grad()
    after = np.concatenate([refiner.top1(*scene) for scene in held_out])
    return refiner, frozen, np.reshape(losses, (EPOCHS, -1)).mean(axis=1), before, after


def test_the_ranking_loss_falls(adapted):
    losses = adapted[2]
    assert losses[-1] < 0.5 * losses[0]


def test_top1_accuracy_rises_on_scenes_not_trained_on(adapted):
    before, after = adapted[3:]
    assert after.mean() > before.mean() + 0.1, (before.mean(), after.mean())


def test_nothing_else_changes(adapted):
    refiner, frozen, *_ = adapted
    now = dict(refiner.backend.named_parameters())
    assert all(torch.equal(now[name], value) for name, value in frozen.items())
    trained = [parameter for parameter in refiner.parameters() if parameter.requires_grad]
    assert {id(parameter) for parameter in trained} == {id(parameter) for parameter in refiner.adaption.parameters()}


def test_few_parameters_and_bytes(tmp_path):
    """A SAM of the published widths: 256 features, 4 outputs."""
    refiner = SAMRefinerPP(random_sam_of_width_256())
    assert sum(parameter.numel() for parameter in refiner.parameters() if parameter.requires_grad) == 1040
    torch.save(refiner.state_dict(), tmp_path / 'adaption.pth')
    assert (tmp_path / 'adaption.pth').stat().st_size < 10_000
    other = SAMRefinerPP(random_sam_of_width_256())
    torch.nn.init.ones_(refiner.adaption.up)
    other.load_state_dict(refiner.state_dict())
    assert torch.equal(other.adaption.up, refiner.adaption.up)
    with pytest.raises(RuntimeError, match='adaption.up'):
        other.load_state_dict({'adaption.down': refiner.adaption.down})


def random_sam_of_width_256():
    from mmrefine.models.backends import SAMBackend

    return SAMBackend({**RANDOM, 'prompt_dim': 256, 'iou_head_dim': 256})


def test_untrained_it_is_samrefiner():
    backend = trained_backend()
    image, coarse, _ = make_scene(3)
    plain = SAMRefiner(backend, iters=1).refine(image, coarse)
    adapted = SAMRefinerPP(trained_backend(), iters=1)
    result = adapted.refine(image, coarse)
    np.testing.assert_array_equal(result.masks, plain.masks)
    np.testing.assert_array_equal(result.scores, plain.scores)
    torch.nn.init.normal_(adapted.adaption.up, generator=torch.Generator().manual_seed(0))
    assert not np.array_equal(adapted.refine(image, coarse).scores, plain.scores)


def test_images_without_masks_train_nothing():
    refiner = SAMRefinerPP(random_sam())
    image, coarse, _ = make_scene(3)
    for masks in (coarse[:0], np.zeros_like(coarse)):
        losses = refiner(*to_inputs(image, masks), mode='loss')
        losses['loss_rank'].backward()
        assert float(losses['loss_rank'].detach()) == 0
    assert not refiner.adaption.up.grad.any()


def test_ranking_loss_by_hand():
    predicted = torch.tensor([[0.5, 0.49, 0.9], [0.8, 0.1, 0.2]], requires_grad=True)
    quality = torch.tensor([[0.7, 0.6, 0.1], [0.7, 0.7, 0.6]])
    # best are the first outputs; leads of 0.01, -0.4, 0.7 and 0.6 fall short of 0.02 by 0.01, 0.42, 0 and 0
    loss = IoURankingLoss(margin=0.02)(predicted, quality)
    torch.testing.assert_close(loss, torch.tensor(0.43 / 2))
    loss.backward()
    torch.testing.assert_close(predicted.grad, torch.tensor([[-1.0, 0.5, 0.5], [0.0, 0.0, 0.0]]))
    torch.testing.assert_close(IoURankingLoss(0.02, loss_weight=2.0)(predicted, quality), 2 * loss)


@pytest.fixture
def coco_scenes(tmp_path):
    """Three scenes as files, with their coarse masks as COCO annotations."""
    import cv2

    content = {'images': [], 'annotations': [], 'categories': [{'id': 1, 'name': 'shape'}]}
    for seed in range(3):
        image, coarse, _ = make_scene(seed, (60, 80))
        cv2.imwrite(str(tmp_path / f'{seed}.png'), image[..., ::-1])
        content['images'].append({'id': seed, 'file_name': f'{seed}.png', 'height': 60, 'width': 80})
        for mask in coarse:
            rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
            content['annotations'].append(
                {
                    'id': len(content['annotations']) + 1,
                    'image_id': seed,
                    'category_id': 1,
                    'area': int(mask.sum()),
                    'segmentation': {'size': rle['size'], 'counts': rle['counts'].decode()},
                }
            )
    (tmp_path / 'coarse.json').write_text(json.dumps(content))
    return tmp_path


def test_trains_by_its_config(coco_scenes, repo_root, tmp_path):
    """The published config with a small SAM: two epochs encode every image once; the checkpoint is small and loads."""
    config = Config.fromfile(repo_root / 'configs' / 'sam_refiner' / 'sam-refiner-pp_vit-b_coco.py')
    config.merge_from_dict(
        {
            'model.backend': {'type': 'SAMBackend', 'arch': RANDOM, '_delete_': True},
            'model.cache.folder': str(tmp_path / 'features'),
            'train_dataloader.dataset.ann_file': str(coco_scenes / 'coarse.json'),
            'train_dataloader.dataset.data_prefix.img': str(coco_scenes),
            'train_dataloader.num_workers': 0,
            'train_dataloader.persistent_workers': False,
            'train_cfg.max_epochs': 2,
            'work_dir': str(tmp_path / 'work'),
            'log_level': 'ERROR',
        }
    )
    runner = Runner.from_cfg(config)
    encoded = []
    encode = runner.model.backend.encode
    runner.model.backend.encode = lambda image: encoded.append(1) or encode(image)
    before = runner.model.adaption.up.detach().clone()
    runner.train()
    assert len(encoded) == 3
    assert not torch.equal(runner.model.adaption.up, before)
    (checkpoint,) = (tmp_path / 'work').glob('epoch_*.pth')
    assert read_weights(checkpoint).keys() == {'adaption.down', 'adaption.up'}
    assert checkpoint.stat().st_size < 40_000  # most of it is the log of the run
    refiner = build_refiner(config.model.to_dict(), checkpoint)
    assert torch.equal(refiner.adaption.up, runner.model.adaption.up)

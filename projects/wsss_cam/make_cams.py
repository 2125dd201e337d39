"""Train a small classifier on image-level labels alone, and write the class activation maps of its training images.

A fully convolutional network of stride 4 whose last layer scores every cell for every class. A soft maximum over the
cells (log-sum-exp: Pinheiro and Collobert, CVPR 2015) is the image's score, for multi-label binary cross-entropy. The
maps of the classes in an image, cut at 0 and divided by their maximum, are its activation maps (CAM: Zhou et al.,
CVPR 2016).
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from mmrefine.files.atomic import whole_file


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('tiles', type=Path, help='folder with images/ and classes.json, see make_tiles.py')
    parser.add_argument('out', type=Path, help='folder for one .npy file per image: {"keys": (K,), "cam": (K, h, w)}')
    parser.add_argument('--iters', type=int, default=2000)
    parser.add_argument('--batch', type=int, default=16)
    parser.add_argument('--scale', type=float, default=0.5, help='scale of the images for the classifier')
    parser.add_argument('--seed', type=int, default=0)
    return parser.parse_args()


def classifier(num_classes: int, width: int = 24) -> nn.Sequential:
    """(B, 3, H, W) -> (B, classes, H / 4, W / 4) scores."""

    def block(channels_in: int, channels: int, stride: int) -> list[nn.Module]:
        conv = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        return [conv, nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]

    return nn.Sequential(
        *block(3, width, 2),
        *block(width, width, 1),
        *block(width, 2 * width, 2),
        *block(2 * width, 2 * width, 1),
        *block(2 * width, 2 * width, 1),
        nn.Conv2d(2 * width, num_classes, 1),
    )


def pool(scores: Tensor, sharpness: float = 2.0) -> Tensor:
    """Soft maximum, (B, K, h, w) -> (B, K), between the mean (sharpness 0) and the maximum (infinity)."""
    scores = scores.flatten(2)
    return (torch.logsumexp(sharpness * scores, 2) - math.log(scores.shape[2])) / sharpness


def read_images(paths: list[Path], scale: float) -> Tensor:
    """(N, 3, h, w) in about -2..2."""
    images = []
    for path in paths:
        with Image.open(path) as image:
            size_wh = tuple(round(side * scale) for side in image.size)
            images.append(np.asarray(image.convert('RGB').resize(size_wh, Image.Resampling.BOX)))
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 64 - 2


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Random flips, rotations by 90 degrees, and changes of contrast and colour."""
    if torch.rand((), generator=generator) < 0.5:
        images = images.flip(3)
    images = torch.rot90(images, int(torch.randint(4, (), generator=generator)), (2, 3))
    gain = 1 + 0.2 * torch.randn((len(images), 1, 1, 1), generator=generator)
    return images * gain + 0.2 * torch.randn((len(images), 3, 1, 1), generator=generator)


def train(images: Tensor, targets: Tensor, args: argparse.Namespace) -> nn.Module:
    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed)
    network = classifier(targets.shape[1])
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=args.iters)
    for step in range(args.iters):
        chosen = torch.randint(len(images), (args.batch,), generator=generator)
        scores = pool(network(augment(images[chosen], generator)))
        loss = F.binary_cross_entropy_with_logits(scores, targets[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 50 == 0 or step == args.iters - 1:
            right = ((scores > 0) == (targets[chosen] > 0.5)).float().mean()
            print(f'iter {step + 1}/{args.iters}  loss {loss.item():.3f}  right {100 * right:.0f} %', flush=True)
    return network.eval()


@torch.no_grad()
def activation_maps(network: nn.Module, image: Tensor, classes: list[int]) -> np.ndarray:
    """(K, h, w) float32 in [0, 1] of one image, averaged over the image and its horizontal flip."""
    if not classes:
        return np.zeros((0, 1, 1), np.float32)
    scores = network(torch.stack([image, image.flip(2)]))
    scores = F.relu(scores[0] + scores[1].flip(2))[classes]
    return (scores / scores.amax((1, 2), keepdim=True).clamp(min=1e-6)).numpy()


def main() -> None:
    args = parse_args()
    present = json.loads((args.tiles / 'classes.json').read_text(encoding='utf-8'))
    images = read_images([args.tiles / 'images' / f'{name}.png' for name in present], args.scale)
    num_classes = 1 + max(label for classes in present.values() for label in classes)
    targets = torch.zeros(len(present), num_classes)
    for row, classes in zip(targets, present.values(), strict=True):
        row[classes] = 1
    network = train(images, targets, args)
    for (name, classes), image in zip(present.items(), images, strict=True):
        maps = activation_maps(network, image, classes)
        with whole_file(args.out / f'{name}.npy', 'wb') as file:
            np.save(file, {'keys': np.array(classes, np.int64), 'cam': maps}, allow_pickle=True)


if __name__ == '__main__':
    main()

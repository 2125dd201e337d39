"""Start the image encoder of a TinySAMBackend from the U-Net of a trained SegRefiner of the same widths.

The filters of the mask and of the colour cues are left out, and the embedding of the last step becomes the only one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from mmengine.config import Config

from mmrefine.files.atomic import whole_file
from mmrefine.models.model_zoo import read_weights
from mmrefine.registry import MODELS
from mmrefine.utils import find_config

_FROM, _TO = 'denoise_model.', 'image_encoder.unet.'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config with a refiner on a TinySAMBackend')
    parser.add_argument('segrefiner', help="weights of the SegRefiner, or the name of a bundled one: 'segrefiner_tiny'")
    parser.add_argument('out', help='where to write the state dict, for load_from')
    args = parser.parse_args()

    model = MODELS.build(Config.fromfile(find_config(args.config)).model)
    wanted = model.state_dict()
    taken = {}
    for name, value in read_weights(args.segrefiner).items():
        target = name.replace(_FROM, _TO)
        if not name.startswith(_FROM) or target not in wanted:
            continue
        value = value.float()
        if target.endswith('time_embed.weight'):
            value = value[-1:]
        elif target.endswith('input_blocks.0.0.weight'):
            value = value[:, : wanted[target].shape[1]]  # RGB comes first
        if value.shape != wanted[target].shape:
            raise SystemExit(
                f'{name} has shape {tuple(value.shape)}, the encoder of {args.config} wants '
                f'{tuple(wanted[target].shape)}: give a SegRefiner of the same widths.'
            )
        taken[target] = value
    missing = [name for name in wanted if name.startswith(_TO) and name not in taken]
    if missing:
        raise SystemExit(f'{args.segrefiner} lacks {len(missing)} arrays of the encoder, such as {missing[0]}.')
    with whole_file(Path(args.out), 'wb') as file:
        torch.save({'state_dict': {**wanted, **taken}}, file)  # as mmengine's checkpoints
    print(f'{len(taken)} arrays of the encoder taken, {len(wanted) - len(taken)} left as initialised: {args.out}')


if __name__ == '__main__':
    main()

# Photographs with accurate masks as tools/dataset_converters/label_maps_to_coco.py leaves them under data_root; how
# each file is made stands in configs/segrefiner/README.md.
data_root = 'data/photos/'
input_size = 160
# The simulators of mmrefine.core.coarse_masks but expand and the paper's own, contour_points.
simulators = [
    'resample', 'simplify_polygon', 'wobble', 'warp', 'shift', 'missing_parts', 'extra_parts', 'holes', 'leak',
    'snap_to_segments', 'activation_blob', 'hull',
]  # fmt: skip

load = [
    dict(type='LoadRGBImage'),
    dict(type='LoadTrueMasks'),
    dict(type='ObjectWindow', margin_ratio=0.6, max_side=288),
]
degrade_and_crop = [
    dict(type='SimulateCoarseMasks', simulators=simulators, iou_range=(0.55, 1.0)),
    dict(type='CoarseMaskCrop', size=input_size, margin_ratio=(0.1, 0.35)),
    dict(type='RandomMaskFlip', prob=0.5),
    dict(type='PhotometricJitter', strength=0.7, prob=0.15),
    dict(type='PackRefineInputs', tensors=True),
]
composite = [dict(type='PasteOnBackground', background_dir=data_root + 'bsds_train', prob=0.3)]

# Name, weight in the mixture, and whether its objects are also pasted on other backgrounds.
sources = [
    ('davis_train', 0.25, True),
    ('ccp_person', 0.15, True),
    ('ccp_garments', 0.10, False),
    ('bsds_train', 0.28, False),
    ('bsds_val', 0.12, False),
    ('leaf', 0.03, True),
    ('nuclei', 0.05, False),
]

train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='SequentialShareSampler'),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='MixtureDataset',
        seed=0,
        weights=[weight for _, weight, _ in sources],
        datasets=[
            dict(
                type='CocoMaskDataset',
                ann_file=data_root + name + '.json',
                data_prefix=dict(img=data_root + name),
                pipeline=load + (composite if pasted else []) + degrade_and_crop,
            )
            for name, _, pasted in sources
        ],
    ),
)

# Validation: photographs that training never sees, whole images, coarse masks by every simulator (expand and
# contour_points included, which training leaves out), all draws from seed and index. BSDS has 11,020 regions in its
# test split: every 40th.
validation_sources = [('davis_val', None), ('bsds_test', list(range(0, 11020, 40))), ('nuts18', None)]
test_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='ConcatDataset',
        datasets=[
            dict(
                type='CocoMaskDataset',
                ann_file=data_root + name + '.json',
                data_prefix=dict(img=data_root + name),
                indices=indices,
                seed=2024,
                pipeline=[
                    dict(type='LoadRGBImage'),
                    dict(type='LoadTrueMasks'),
                    dict(type='SimulateCoarseMasks', simulators=None, iou_range=(0.55, 1.0)),
                    dict(type='PackRefineInputs'),
                ],
            )
            for name, indices in validation_sources
        ],
    ),
)
test_cfg = dict()
test_evaluator = dict(type='RefineMetric', group_by='source')

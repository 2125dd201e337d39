# Images with accurate masks, and coarse masks that published models made on some of them, laid out under data_root as
# configs/segrefiner/README.md says. In `more` and `coarse_real`, images whose SHA-256 of the stem is 0 modulo 5 are for
# validation; of the others, those that are 1 modulo 10 are the development set, on which settings are chosen.
data_root = 'data/photos/'
more, coarse_real = data_root + 'more/', data_root + 'coarse_real/'
input_size = 224
training = dict(modulo=10, keep=[2, 3, 4, 6, 7, 8, 9])

# The simulators of mmrefine.core.coarse_masks but expand and the paper's own, contour_points.
simulators = [
    'resample', 'simplify_polygon', 'wobble', 'warp', 'shift', 'missing_parts', 'extra_parts', 'holes', 'leak',
    'snap_to_segments', 'activation_blob', 'hull',
]  # fmt: skip
wrong_parts = ['missing_parts', 'extra_parts', 'holes', 'leak']
degrade = [
    dict(
        type='OneOf',
        # Every kind of error; contours that are exact and parts that are wrong; the errors of real models on other
        # images; masks that are right already.
        weights=[0.50, 0.22, 0.12, 0.16],
        pipelines=[
            [dict(type='SimulateCoarseMasks', simulators=simulators, iou_range=(0.55, 1.0))],
            [dict(type='SimulateCoarseMasks', simulators=wrong_parts, iou_range=(0.75, 1.0))],
            [
                dict(
                    type='OneOf',
                    weights=[0.4, 0.3, 0.3],
                    pipelines=[
                        [dict(type='SimulateCoarseMasks', error_model=f'{data_root}errors_{name}.json')]
                        for name in ('isnet512', 'prisma', 'selfie')
                    ],
                )
            ],
            [dict(type='SimulateCoarseMasks', simulators=simulators, iou_range=(0.93, 1.0))],
        ],
    )
]
load = [dict(type='LoadRGBImage'), dict(type='LoadTrueMasks')]
crop = [dict(type='CoarseMaskCrop', size=input_size, margin_ratio=(0.1, 0.35))]
# Windows along the contour at native resolution, for the second pass over large objects.
native_window = [dict(type='MixedPatchCrop', size=input_size)]
augment = [
    dict(type='RandomMaskFlip', prob=0.5),
    dict(type='PhotometricJitter', strength=0.8, prob=0.2),
    dict(type='PackRefineInputs', tensors=True),
]
composite = [dict(type='PasteOnBackground', background_dir=data_root + 'bsds_train', prob=0.3)]
window = [dict(type='ObjectWindow', margin_ratio=0.6, max_side=360)]
large_window = [dict(type='ObjectWindow', margin_ratio=0.3, max_side=800, min_side=160)]

# COCO files: name, weight in the mixture, and whether its objects are also pasted on other backgrounds.
coco_sources = [
    ('davis_train', 0.07, True),
    ('ccp_person', 0.03, True),
    ('ccp_garments', 0.04, False),
    ('bsds_train', 0.22, False),
    ('bsds_val', 0.10, False),
    ('leaf', 0.01, True),
    ('nuclei', 0.03, False),
]
# Folders of images and masks: the same.
folder_sources = [
    ('ccp_rest', 0.025, True),
    ('fasseg', 0.02, False),
    ('carrot_weed_crops', 0.02, False),
    ('weizmann_horses', 0.03, True),
    ('human290', 0.03, True),
    ('cwf788', 0.015, False),
    ('davis_between', 0.04, True),
    ('cwfid', 0.01, False),
    ('feral_cats', 0.015, True),
    ('flowers56', 0.015, True),
    ('coseg', 0.01, True),
]
# Coarse masks of real models: model, folder, weight.
real_sources = [
    ('selfie', 'human290', 0.04),
    ('selfie', 'ccp_rest', 0.035),
    ('prisma', 'human290', 0.04),
    ('prisma', 'ccp_rest', 0.03),
    ('isnet512', 'weizmann_horses', 0.045),
    ('isnet512', 'davis_between', 0.04),
    ('isnet512', 'feral_cats', 0.03),
]
# Folders with large objects, for the windows at native resolution.
large_sources = [('ccp_rest', 0.02), ('human290', 0.02), ('weizmann_horses', 0.01), ('davis_between', 0.02)]

coco_datasets = [
    dict(
        type='CocoMaskDataset',
        ann_file=data_root + name + '.json',
        data_prefix=dict(img=data_root + name),
        pipeline=load + window + (composite if pasted else []) + degrade + crop + augment,
    )
    for name, _, pasted in coco_sources
]
folder_datasets = [
    dict(
        type='MaskFolderDataset',
        data_prefix=dict(img=f'{more}{name}/images', mask=f'{more}{name}/masks'),
        split=training,
        pipeline=load + window + (composite if pasted else []) + degrade + crop + augment,
    )
    for name, _, pasted in folder_sources
]
real_datasets = [
    dict(
        type='MaskFolderDataset',
        data_prefix=dict(img=f'{more}{name}/images', mask=f'{more}{name}/masks', coarse=f'{coarse_real}{model}/{name}'),
        split=training,
        coarse_threshold=(0.35, 0.65),
        min_coarse_iou=0.45,
        # Every fifth sample is a window.
        pipeline=load + [dict(type='OneOf', weights=[0.8, 0.2], pipelines=[crop, native_window])] + augment,
    )
    for model, name, _ in real_sources
]
large_datasets = [
    dict(
        type='MaskFolderDataset',
        data_prefix=dict(img=f'{more}{name}/images', mask=f'{more}{name}/masks'),
        split=training,
        pipeline=load
        + large_window
        + [dict(type='SimulateCoarseMasks', simulators=simulators, iou_range=(0.85, 1.0))]
        + native_window
        + augment,
    )
    for name, _ in large_sources
]
train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    prefetch_factor=4,
    persistent_workers=True,
    sampler=dict(type='SequentialShareSampler'),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='MixtureDataset',
        seed=0,
        weights=[source[1] for source in coco_sources + folder_sources]
        + [weight for _, _, weight in real_sources]
        + [weight for _, weight in large_sources],
        datasets=coco_datasets + folder_datasets + real_datasets + large_datasets,
    ),
)

# Validation: whole images that training never sees. Real: given coarse masks, those under IoU 0.5 left out. Simulated:
# by every simulator (expand and contour_points included, which training leaves out), all draws from seed and index;
# BSDS has 11,020 regions in its test split: every 40th.
validation = dict(modulo=5, keep=[0])
simulated_validation = [('davis_val', None), ('bsds_test', list(range(0, 11020, 40))), ('nuts18', None)]
pack = [dict(type='PackRefineInputs')]
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
                type='MaskFolderDataset',
                test_mode=True,
                data_prefix=dict(
                    img=f'{more}{name}/images', mask=f'{more}{name}/masks', coarse=f'{coarse_real}{model}/{name}'
                ),
                split=validation,
                min_coarse_iou=0.5,
                source=f'{model} {name}',
                kind='real',
                seed=2024,
                pipeline=load + pack,
            )
            for model, name, _ in real_sources
        ]
        + [
            dict(
                type='CocoMaskDataset',
                test_mode=True,
                ann_file=data_root + name + '.json',
                data_prefix=dict(img=data_root + name),
                indices=indices,
                kind='simulated',
                seed=2024,
                pipeline=load + [dict(type='SimulateCoarseMasks', simulators=None, iou_range=(0.55, 1.0))] + pack,
            )
            for name, indices in simulated_validation
        ],
    ),
)
test_cfg = dict()
test_evaluator = dict(type='RefineMetric', group_by=('kind', 'source'))

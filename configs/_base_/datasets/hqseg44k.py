# HQSeg-44K in the folders of HQ-SAM's data: accurate masks of 44,320 images. Each set is sampled in proportion to its
# size; the actual numbers of images are logged.
data_root = 'data/sam-hq/'
input_size = 1024
cascade = data_root + 'cascade_psp/'
thin = data_root + 'thin_object_detection/ThinObject5K/'
dis = data_root + 'DIS5K/'
one_folder = dict(img='.jpg', mask='.png')

# Name, number of images, images, masks, suffixes where both lie in one folder.
sources = [
    ('DIS5K-TR', 3000, dis + 'DIS-TR/im', dis + 'DIS-TR/gt', None),
    ('ThinObject5K-TR', 4748, thin + 'images_train', thin + 'masks_train', None),
    ('FSS-1000', 10000, cascade + 'fss_all', cascade + 'fss_all', one_folder),
    ('ECSSD', 1000, cascade + 'ecssd', cascade + 'ecssd', one_folder),
    ('MSRA10K', 10000, cascade + 'MSRA_10K', cascade + 'MSRA_10K', one_folder),
    ('DUTS-TR', 10553, cascade + 'DUTS-TR', cascade + 'DUTS-TR', one_folder),
    ('DUTS-TE', 5019, cascade + 'DUTS-TE', cascade + 'DUTS-TE', one_folder),
]
load = [dict(type='LoadRGBImage'), dict(type='LoadTrueMasks')]
train_pipeline = [
    *load,
    dict(type='RandomMaskFlip', prob=0.5),
    dict(type='LargeScaleJitter', size=input_size, scale=(0.1, 2.0), pad_value=128),
    dict(type='SamplePrompts', box_noise=0.1, num_points=(1, 10), positive_share=0.5, mask_side=input_size // 4),
    dict(type='PackInteractiveInputs', tensors=True),
]

train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='SequentialShareSampler'),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='MixtureDataset',
        seed=0,
        weights=[count for _, count, _, _, _ in sources],
        datasets=[
            dict(
                type='MaskFolderDataset',
                data_prefix=dict(img=images, mask=masks),
                suffixes=suffixes,
                source=name,
                pipeline=train_pipeline,
            )
            for name, _, images, masks, suffixes in sources
        ],
    ),
)
# Validation on boxes: SAM 2's own masks are the coarse side of the table.
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='MaskFolderDataset',
        test_mode=True,
        data_prefix=dict(img=dis + 'DIS-VD/im', mask=dis + 'DIS-VD/gt'),
        source='DIS-VD',
        seed=2024,
        pipeline=[
            *load,
            dict(type='SamplePrompts', kinds=['box'], box_noise=0.0),
            dict(type='SquareResize', size=input_size, keep_masks=True),
            dict(type='PackInteractiveInputs'),
        ],
    ),
)
test_dataloader = val_dataloader
val_cfg = dict()
test_cfg = dict()
val_evaluator = dict(type='RefineMetric')
test_evaluator = val_evaluator

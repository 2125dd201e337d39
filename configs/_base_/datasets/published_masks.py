# Published coarse masks with their ground truth, as two COCO files of the same masks in the same
# order: tools/dataset_converters/published_masks_to_coco.py makes them of each dataset's own folders.
image_root = 'data/published/images'
mask_root = 'data/published/'
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='CocoMaskDataset',
        test_mode=True,
        ann_file=mask_root + 'truth.json',
        data_prefix=dict(img=image_root),
        per='image',
        pipeline=[
            dict(type='LoadRGBImage'),
            dict(type='LoadTrueMasks'),
            dict(type='LoadCoarseMasks', path=mask_root + 'coarse.json'),
            dict(type='PackRefineInputs'),
        ],
    ),
)
test_cfg = dict()
test_evaluator = dict(type='RefineMetric', metric=['iou', 'boundary_iou', 'mba'])

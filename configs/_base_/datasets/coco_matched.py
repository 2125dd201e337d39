# Masks of a detector on COCO val 2017 that match an annotation, and those annotations, in the same order:
# tools/dataset_converters/results_to_coco.py --match makes both files.
image_root = 'data/coco/val2017'
mask_root = 'data/coco/matched/'
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

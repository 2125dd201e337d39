# DAVIS-585: coarse masks by a video network (stm) and by superpixels (sp), one line of the table each. Made by
# tools/dataset_converters/published_masks_to_coco.py davis585-sp data/davis585 data/davis585-sp, and -stm likewise.
kinds = ['sp', 'stm']
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='ConcatDataset',
        datasets=[
            dict(
                type='CocoMaskDataset',
                test_mode=True,
                ann_file=f'data/davis585-{kind}/truth.json',
                data_prefix=dict(img='data/davis585'),
                per='image',
                source=kind,
                pipeline=[
                    dict(type='LoadRGBImage'),
                    dict(type='LoadTrueMasks'),
                    dict(type='LoadCoarseMasks', path=f'data/davis585-{kind}/coarse.json'),
                    dict(type='PackRefineInputs'),
                ],
            )
            for kind in kinds
        ],
    ),
)
test_cfg = dict()
test_evaluator = dict(type='RefineMetric', metric=['iou', 'boundary_iou'], group_by='source')

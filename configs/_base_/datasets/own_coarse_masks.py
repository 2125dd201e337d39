# Training: images and their own coarse masks as a COCO file, without any ground truth, as tools/dataset_converters
# make it.
data_root = 'data/mine/'
train_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='CocoMaskDataset',
        ann_file=data_root + 'coarse.json',
        data_prefix=dict(img=data_root + 'images'),
        per='image',
        pipeline=[
            dict(type='LoadRGBImage'),
            dict(type='KeyMapper', transforms=[dict(type='LoadTrueMasks')], remapping=dict(gt_masks='coarse_masks')),
            dict(type='PackRefineInputs'),
        ],
    ),
)

# LVIS v1 on COCO 2017 images, as LR-SegRefiner is trained: one random object of over 512 px per image, its boundary
# perturbed on the whole image before cropping.
data_root = 'data/coco/'
lvis_root = 'data/lvis_v1/'
input_size = 256
load_object = [dict(type='LoadRGBImage'), dict(type='ChooseObject'), dict(type='LoadTrueMasks')]
degrade = [dict(type='PerturbBoundary', iou_target=0.8)]
crop = [
    dict(type='RandomObjectCrop', size=input_size, margin_px=40, antialias=False),
    dict(type='RandomMaskFlip', prob=0.5),
    dict(type='PackRefineInputs', tensors=True),
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
        weights=[1.0],
        datasets=[
            dict(
                type='CocoMaskDataset',
                ann_file=lvis_root + 'annotations/lvis_v1_train.json',
                data_prefix=dict(img=data_root),
                per='image',
                min_area=512,
                pipeline=load_object + degrade + crop,
            )
        ],
    ),
)

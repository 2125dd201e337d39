# DIS5K-TR and ThinObject5K-TR as HR-SegRefiner is trained: of every image an object view and a native patch, in equal
# numbers, images by the sizes of the two sets. Half of the coarse masks are made of the object with its holes filled;
# half of the patches get one of their own instead of their part of the image's. Folders are those of HQ-SAM's data.
data_root = 'data/sam-hq/'
input_size = 256
folders = [
    (3000, dict(img=data_root + 'DIS5K/DIS-TR/im', mask=data_root + 'DIS5K/DIS-TR/gt')),
    (
        4748,
        dict(
            img=data_root + 'thin_object_detection/ThinObject5K/images_train',
            mask=data_root + 'thin_object_detection/ThinObject5K/masks_train',
        ),
    ),
]
load = [dict(type='LoadRGBImage'), dict(type='LoadTrueMasks')]
degrade = [dict(type='PerturbBoundary', iou_target=0.8, fill_prob=0.5)]
object_view = [dict(type='RandomObjectCrop', size=input_size, margin_px=None, antialias=False)]
native_patch = [dict(type='MixedPatchCrop', size=input_size), dict(type='PerturbBoundary', iou_target=0.8, prob=0.5)]
pack = [dict(type='RandomMaskFlip', prob=0.5), dict(type='PackRefineInputs', tensors=True)]

train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='SequentialShareSampler'),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='MixtureDataset',
        seed=0,
        weights=[count for count, _ in folders for _ in (object_view, native_patch)],
        datasets=[
            dict(type='MaskFolderDataset', data_prefix=folder, pipeline=load + degrade + view + pack)
            for _, folder in folders
            for view in (object_view, native_patch)
        ],
    ),
)

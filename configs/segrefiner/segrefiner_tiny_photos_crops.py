# The bundled model measured on object crops instead of whole photographs; otherwise as segrefiner_tiny_photos.py.
_base_ = './segrefiner_tiny_photos.py'

data_root = 'data/photos/'
validation_sources = [('davis_val', None), ('bsds_test', list(range(0, 11020, 40))), ('nuts18', None)]

test_dataloader = dict(
    dataset=dict(
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
                    dict(type='ObjectWindow', margin_ratio=0.4, max_side=480, min_side=1, min_fill=0.0),
                    dict(type='SimulateCoarseMasks', simulators=None, iou_range=(0.55, 1.0)),
                    dict(type='PackRefineInputs'),
                ],
            )
            for name, indices in validation_sources
        ]
    )
)

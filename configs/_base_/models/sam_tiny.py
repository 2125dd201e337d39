# SAM's prompt encoder and mask decoder on the features of a narrow U-Net: a window of 160 px around every mask.
model = dict(
    type='TrainableSAMRefiner',
    backend=dict(type='TinySAMBackend', image_size=160, dim=128, trainable=True),
    iters=1,
    quality=('expected_iou',),
    window=dict(margin_px=2, margin_ratio=0.2),
    full_prob=0.6,
    loss=dict(type='MultimaskLoss', texture_weight=2.0, iou_weight=1.0, other_weight=0.1),
)

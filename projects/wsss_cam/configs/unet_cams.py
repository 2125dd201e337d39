# The same, trained on the activation maps in the folder CAMS as they are, cut at THRESHOLD.
_base_ = 'unet_labels.py'

load_cams = dict(
    type='mmrefine.LoadCoarseMasks',
    path='{{$CAMS:data/wsss_cams}}',
    kind='cams',
    into='gt_seg_map',
    cam_threshold=float('{{$THRESHOLD:0.25}}'),
)
train_dataloader = dict(dataset=dict(pipeline=[_base_.load_image, load_cams, *_base_.augment]))

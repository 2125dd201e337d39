# Offline: labelled images and refined pseudo labels, one to one.
_base_ = './mask-rcnn_nuts_longer.py'
custom_imports = dict(
    imports=['mmrefine.compat.auto', 'mmrefine.datasets.weighted_coco', 'mmrefine.models.detectors'],
)
model = dict(
    roi_head=dict(mask_head=dict(type='mmrefine.WeightedFCNMaskHead')),
    # The ignore band: proposals that lie in an ignored object are not background.
    train_cfg=dict(rpn=dict(assigner=dict(ignore_iof_thr=0.5)), rcnn=dict(assigner=dict(ignore_iof_thr=0.5))),
)
labelled = _base_.train_dataloader.dataset
pseudo = dict(
    labelled,
    type='mmrefine.WeightedCocoDataset',
    ann_file='pseudo.json',
    pipeline=[*labelled.pipeline[:-1], dict(type='mmrefine.PackWeightedInputs')],
)
train_dataloader = dict(
    sampler=dict(_delete_=True, type='MultiSourceSampler', batch_size=2, source_ratio=[1, 1]),
    dataset=dict(_delete_=True, type='ConcatDataset', datasets=[labelled, pseudo]),
)

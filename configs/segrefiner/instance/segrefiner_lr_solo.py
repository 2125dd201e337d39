# The paper's table of instance segmentation, SOLO: AP of masks and boundaries before and after, with LVIS's
# annotations of COCO val 2017 (tools/dataset_converters/lvis_to_coco.py).
_base_ = 'mmdet::solo/solo_r50_fpn_3x_coco.py'
custom_imports = dict(imports=['mmrefine.compat.auto'])

custom_hooks = [
    dict(
        type='mmrefine.RefineHook',
        refiner='segrefiner/segrefiner_lr_lvis.py',
        checkpoint='checkpoints/segrefiner_lr_latest.pth',
    )
]
ap = dict(type='mmrefine.MaskAPMetric', ann_file='data/lvis_v1/annotations/lvis_v1_val_coco.json', federated=True)
val_evaluator = dict(_delete_=True, type='mmrefine.RefineEvaluator', metrics=[ap])
test_evaluator = val_evaluator

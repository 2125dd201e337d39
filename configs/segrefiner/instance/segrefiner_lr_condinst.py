# The paper's table of instance segmentation, CondInst: AP of masks and boundaries before and after, with LVIS's
# annotations of COCO val 2017 (tools/dataset_converters/lvis_to_coco.py).
_base_ = 'mmdet::condinst/condinst_r50_fpn_ms-poly-90k_coco_instance.py'
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

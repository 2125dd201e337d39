# Panoptic FPN: the things are refined, stuff gives way to them; PQ before and after in one run.
_base_ = 'mmdet::panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py'
custom_imports = dict(imports=['mmrefine.compat.auto'])

custom_hooks = [dict(type='mmrefine.RefineHook', refiner='segrefiner_tiny', classes=list(range(80)))]

val_evaluator = dict(_delete_=True, type='mmrefine.RefineEvaluator', metrics=[_base_.val_evaluator])
test_evaluator = val_evaluator

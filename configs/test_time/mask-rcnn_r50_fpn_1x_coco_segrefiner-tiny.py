# Mask R-CNN whose masks are refined before they are evaluated, drawn or dumped; AP before and after in one run.
_base_ = 'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'
custom_imports = dict(imports=['mmrefine.compat.auto'])

custom_hooks = [dict(type='mmrefine.RefineHook', refiner='segrefiner_tiny', score_thr=0.3)]

val_evaluator = dict(_delete_=True, type='mmrefine.RefineEvaluator', metrics=[_base_.val_evaluator])
test_evaluator = val_evaluator

# A box detector with masks from SAM, which gets every box as a prompt.
_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
custom_imports = dict(imports=['mmrefine.compat.auto'])

custom_hooks = [dict(type='mmrefine.RefineHook', refiner='sam_refiner/sam-refiner_vit-b.py', score_thr=0.3)]

val_evaluator = dict(metric=['bbox', 'segm'])
test_evaluator = val_evaluator

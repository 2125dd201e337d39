# The trained Mask R-CNN with its masks refined: mAP, IoU, boundary IoU and harm rate, coarse and refined in one pass.
_base_ = './mask-rcnn_nuts.py'
custom_hooks = [dict(type='mmrefine.RefineHook', refiner='segrefiner_tiny', score_thr=0.3)]
val_evaluator = dict(
    _delete_=True, type='mmrefine.MatchedMaskEvaluator', metrics=[_base_.val_evaluator], matched=dict(group_by='labels')
)
test_evaluator = val_evaluator

# The trained DeepLabV3+ with its label maps refined: mIoU, boundary IoU and harm rate, coarse and refined in one pass.
_base_ = './deeplabv3plus_nuts.py'
custom_hooks = [dict(type='mmrefine.RefineHook', refiner='segrefiner_tiny')]
val_evaluator = dict(
    _delete_=True,
    type='mmrefine.MatchedMaskEvaluator',
    metrics=[_base_.val_evaluator],
    matched=dict(classes=[1]),
)
test_evaluator = val_evaluator

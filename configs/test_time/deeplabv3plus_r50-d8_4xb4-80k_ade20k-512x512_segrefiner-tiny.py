# DeepLabV3+ whose label maps are refined region by region; mIoU before and after in one run.
_base_ = 'mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb4-80k_ade20k-512x512.py'
custom_imports = dict(imports=['mmrefine.compat.auto'])

# Regions below 1024 px are not refined.
custom_hooks = [dict(type='mmrefine.RefineHook', refiner='segrefiner_tiny', area_range=(1024, None))]

val_evaluator = dict(_delete_=True, type='mmrefine.RefineEvaluator', metrics=[_base_.val_evaluator])
test_evaluator = val_evaluator

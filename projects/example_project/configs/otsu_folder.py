# IoU and boundary IoU of OtsuRefiner on data/mine/{train,val}/{images,masks}, with simulated coarse masks.
_base_ = ['../../../configs/_base_/default_runtime.py', '../../../configs/_base_/datasets/mask_folder.py']
custom_imports = dict(imports=['example'])
model = dict(type='OtsuRefiner', reach_px=8, gate=dict(min_agreement=0.5))

# Salient and video objects, not in the paper: ECSSD, MSRA-B, DAVIS 2016 and 2017, Cityscapes.
_base_ = ['../_base_/default_runtime.py', '../_base_/models/segrefiner_hr.py', '../_base_/datasets/salient_objects.py']

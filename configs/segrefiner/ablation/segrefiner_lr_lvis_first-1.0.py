# Ablation of the schedule: it starts at 1.0 instead of 0.8.
_base_ = '../segrefiner_lr_lvis.py'
model = dict(schedule=dict(first=1.0))

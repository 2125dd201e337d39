# Ablation of the schedule: it starts at 0.6 instead of 0.8.
_base_ = '../segrefiner_lr_lvis.py'
model = dict(schedule=dict(first=0.6))

# SAM2Refiner on a folder of your own images and masks; see _base_/datasets/prompted_folder.py. It starts as SAM 2
# itself, not with noise; load_from gives it trained modules instead (of init='identity').
_base_ = [
    '../_base_/schedules/sam2_refiner.py',
    '../_base_/models/sam2_refiner.py',
    '../_base_/datasets/prompted_folder.py',
]
model = dict(
    base=dict(
        config='sam2.1_hiera_b+',
        checkpoint='https://dl.fbaipublicfiles.com/segment_anything_2/092824/sam2.1_hiera_base_plus.pt',
    ),
    core=dict(init='identity'),
)
param_scheduler = dict(milestones=[1500])
train_cfg = dict(max_iters=3000, val_interval=500)
default_hooks = dict(checkpoint=dict(interval=500))

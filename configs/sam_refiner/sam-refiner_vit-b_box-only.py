# Ablation: the tight box alone, one round: what the segmenter does with the usual prompt.
_base_ = './sam-refiner_vit-b.py'
model = dict(iters=1, use_point=False, use_mask=False)

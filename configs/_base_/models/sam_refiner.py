# Common settings of all SAMRefiner configs, which add the backend. Five rounds with tight boxes, as the authors' code
# has them. The gate is not part of the paper; it rejects clear failures and is not calibrated. Configs of the paper's
# tables have neither.
model = dict(
    type='SAMRefiner',
    iters=5,
    use_point=True,
    use_box=True,
    use_mask=True,
    negative_point=True,
    margin=0.0,
    gamma=4.0,
    strength=30.0,
    distance='chamfer',
    gate=dict(min_score=0.3, min_agreement=0.3, area_ratio=(0.25, 4.0)),
)

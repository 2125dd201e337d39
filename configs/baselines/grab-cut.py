# GrabCut near the boundary of each mask; no weights.
model = dict(type='GrabCut')

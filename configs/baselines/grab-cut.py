# GrabCut near the boundary of each mask; no weights. Settings chosen on the development images, see README.md.
model = dict(type='GrabCut', band_ratio=0.07, max_side=400)

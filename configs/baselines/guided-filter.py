# Guided filter on a crop around each mask; no weights. Settings chosen on the development images, see README.md.
model = dict(type='GuidedFilter', radius_px=8, eps=1e-4, max_side=400)

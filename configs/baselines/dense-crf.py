# Dense CRF on a crop around each mask; no weights. Settings chosen on the development images, see README.md.
model = dict(type='DenseCRF', confidence=0.9, bilateral_weight=4, max_side=400)

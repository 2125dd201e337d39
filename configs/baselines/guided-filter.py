# Guided filter on a crop around each mask; no weights.
model = dict(type='GuidedFilter')

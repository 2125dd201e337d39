# Dense CRF on a crop around each mask; no weights.
model = dict(type='DenseCRF')

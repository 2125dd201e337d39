# CascadePSP on a crop around each mask; weights: the file `model` of its authors' release v1.0, which you fetch.
model = dict(type='CascadePSP')

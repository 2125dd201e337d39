# The same network on whole images: a global pass, then patches at native resolution. Ours by intent: masks under 128 px
# come back as they are, where the released code empties them, and images smaller than a patch, where it fails, are
# padded.
_base_ = './segrefiner_lr.py'
model = dict(type='SegRefinerHR', min_area=128, fine_prob_thr=0.9, iou_thr=0.3, global_interpolation='nearest')

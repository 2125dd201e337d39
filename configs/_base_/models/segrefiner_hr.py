# The same network on whole images: a global pass, then patches at native resolution.
_base_ = './segrefiner_lr.py'
model = dict(type='SegRefinerHR', min_area=128, fine_prob_thr=0.9, iou_thr=0.3, global_interpolation='nearest')

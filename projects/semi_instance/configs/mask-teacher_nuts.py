# Online: the teacher's masks on unlabelled images are refined before the student learns from them.
_base_ = './mask-rcnn_nuts_longer.py'
custom_imports = dict(imports=['mmrefine.compat.auto', 'mmrefine.models.detectors'])

detector = _base_.model
detector.roi_head.mask_head.type = 'mmrefine.WeightedFCNMaskHead'
model = dict(
    _delete_=True,
    type='mmrefine.MaskTeacher',
    detector=detector,
    refiner='segrefiner_tiny',
    label_filter=dict(min_score=0.8, min_quality=0.6, min_agreement=0.6),
    semi_train_cfg=dict(sup_weight=1.0, unsup_weight=1.0),
    semi_test_cfg=dict(predict_on='teacher'),
    data_preprocessor=dict(type='MultiBranchDataPreprocessor', data_preprocessor=detector.data_preprocessor),
)

branches = ['sup', 'unsup_teacher', 'unsup_student']
pack = dict(
    type='PackDetInputs',
    meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'homography_matrix'),
)
augment = _base_.train_pipeline[2:-1]
sup_pipeline = [
    *_base_.train_pipeline[:-1],
    dict(type='MultiBranch', branch_field=branches, sup=dict(type='PackDetInputs')),
]
unsup_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadEmptyAnnotations'),
    dict(
        type='MultiBranch',
        branch_field=branches,
        unsup_teacher=[dict(type='Resize', scale=_base_.size_wh, keep_ratio=True), pack],
        unsup_student=[*augment, pack],
    ),
]
labelled = _base_.train_dataloader.dataset
train_dataloader = dict(
    sampler=dict(_delete_=True, type='MultiSourceSampler', batch_size=2, source_ratio=[1, 1]),
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            dict(labelled, pipeline=sup_pipeline),
            dict(labelled, ann_file='unlabelled.json', pipeline=unsup_pipeline),
        ],
    ),
)
val_cfg = dict(type='TeacherStudentValLoop')
custom_hooks = [
    dict(type='MeanTeacherHook', momentum=0.02),
    dict(type='mmrefine.PseudoLabelHook', patience=50),
]

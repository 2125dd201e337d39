_base_ = '../_base_/models/sam_refiner.py'
model = dict(
    backend=dict(
        type='SAMHQBackend',
        arch='vit_b',
        checkpoint='https://huggingface.co/lkeab/hq-sam/resolve/main/sam_hq_vit_b.pth',
    )
)

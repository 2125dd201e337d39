"""Jobs over clips: files that come out, bad clips, going on after a kill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mmrefine.core.rle import decode_segmentation
from mmrefine.jobs import format_video_report, refine_video
from mmrefine.jobs.decide import apply_decisions
from mmrefine.jobs.review import write_review
from tests.helpers.bright_refiner import BrightRefiner
from tests.helpers.clips import COUNT, SIZE_HW, Clips, coarse, scene
from tests.helpers.scenes import files_of


def test_maps_come_out_as_maps(clips):
    """Objects grow to their bright squares; labels, palette and names stay."""
    report = clips.refine()
    for frame in range(COUNT):
        picture = clips.read('b', frame)
        assert picture.mode == 'P' and picture.getpalette()[3:6] == [128, 0, 0]
        assert np.array_equal(np.asarray(picture), scene(frame)[1])
    assert report.total['clips'] == 2 and report.total['frames'] == 2 * COUNT and report.total['masks'] == 4 * COUNT
    assert 0 <= report.total['flicker_refined'] < 0.3
    assert 'total: 2 clips: 8 frames, 16 masks' in format_video_report(report)
    assert sorted(path.name for path in (clips.folder / 'out').iterdir()) == ['.job', 'masks', 'summary.json']
    for review in (write_review, lambda out: apply_decisions(out, {})):
        with pytest.raises(ValueError, match='contains masks of clips, which cannot be reviewed'):
            review(clips.folder / 'out')


def test_youtube_vis_comes_out_as_youtube_vis(clips):
    clips.refine('masks.json')
    before = json.loads((clips.folder / 'masks.json').read_text())
    after = json.loads((clips.folder / 'out' / 'masks.json').read_text())
    assert [record['id'] for record in after['annotations']] == [11, 13, 21, 23]
    assert after['videos'] == before['videos'] and after['annotations'][0]['note'] == 'kept'
    for frame in range(COUNT):
        wanted = scene(frame)[1] == 3
        record = after['annotations'][1]
        assert np.array_equal(decode_segmentation(record['segmentations'][frame], SIZE_HW), wanted)
        assert record['areas'][frame] == wanted.sum()


def test_both_formats_and_overlay_from_a_first_frame(clips):
    """A video file and one PNG; flow follows the objects."""
    writer = cv2.VideoWriter(str(clips.folder / 'clip.mp4'), cv2.VideoWriter_fourcc(*'mp4v'), 10.0, SIZE_HW[::-1])
    for frame in range(COUNT):
        writer.write(scene(frame)[0][..., ::-1].copy())
    writer.release()
    out = clips.folder / 'out'
    first = clips.folder / 'masks' / 'a' / '00000.png'
    kwargs = {'model': BrightRefiner(), 'progress': False, 'write': ('png', 'json'), 'overlay': True}
    report = refine_video(clips.folder / 'clip.mp4', first, out, **kwargs)
    assert report.total['flicker_coarse'] is None
    for frame in range(COUNT):
        made, wanted = np.asarray(clips.read('clip', frame)), scene(frame)[1]
        # The video's compression moves edges by a pixel.
        assert np.count_nonzero(made != wanted) < 0.15 * np.count_nonzero(wanted)
    content = json.loads((out / 'masks.json').read_text())
    assert content['videos'][0]['file_names'][1] == 'clip/00001.jpg'
    assert [record['object_id'] for record in content['annotations']] == [1, 3]
    assert cv2.VideoCapture(str(out / 'overlays' / 'clip.mp4')).read()[0]


@pytest.mark.parametrize(('fast', 'tile_scale'), [(False, 1.0), (True, 0.5)])
def test_sam2_in_the_place_of_flow(clips, monkeypatch, fast, tile_scale):
    """A small one with random weights: it carries masks between neighbours, and follows those of a first frame."""
    pytest.importorskip('sam2')
    from mmrefine.models.sam2_refiner import video_predictor

    encode, scales = video_predictor.local_features, []

    def local_features(base, images, scale, chunk):
        scales.append(scale)
        return encode(base, images, scale, chunk)

    monkeypatch.setattr(video_predictor, 'local_features', local_features)
    for path in sorted((clips.folder / 'masks' / 'b').iterdir())[1:]:
        path.unlink()
    small = {'config': 'sam2.1_hiera_t', 'small': {}}
    report = clips.refine(
        sam2={'type': 'SAM2Refiner', 'base': small, 'core': {'init': 'identity'}}, fast=fast, device='cpu'
    )
    assert not report.failed and report.total['frames'] == 2 * COUNT
    # The prompts of the first frame stay as they were, up to the small model's grid.
    followed, given = np.asarray(clips.read('b', 0)), coarse(scene(0)[1])
    assert ((followed == 3) & (given == 3)).sum() / ((followed == 3) | (given == 3)).sum() > 0.8
    assert len(scales) >= 2 * COUNT - 1 and set(scales) == {tile_scale}


@pytest.mark.parametrize('prompt_reuse', ['pr', 'none'])
def test_clicks_and_boxes_are_followed_by_sam2(clips, prompt_reuse):
    """Object 1 by a box on the first frame, object 7 by clicks on the second; what is wrong fails alone."""
    pytest.importorskip('sam2')
    prompts = [
        {'clip': 'a', 'frame': '00000', 'object': 1, 'box': [5, 5, 40, 40]},
        {'clip': 'a', 'frame': '00001', 'object': 7, 'points': [[20, 20], [2, 2]], 'labels': [1, 0]},
        {'clip': 'b', 'frame': '00000', 'object': 1, 'points': [[5000, 3]], 'labels': [1]},
        {'clip': 'a', 'frame': '00099', 'object': 7, 'box': [5, 5, 40, 40]},
        None,
    ]
    path = clips.folder / 'prompts.json'
    path.write_text(json.dumps({'prompts': prompts}))
    small = {'type': 'SAM2Refiner', 'base': {'config': 'sam2.1_hiera_t', 'small': {}}, 'core': {'init': 'identity'}}
    kwargs = {'model': BrightRefiner(), 'progress': False, 'device': 'cpu', 'prompt_reuse': prompt_reuse}
    frames, out = clips.folder / 'frames', clips.folder / 'out'
    report = refine_video(frames, path, out, sam2=small, **kwargs)
    assert [entry['clip'] for entry in report.clips] == ['a']
    assert report.failed[0]['clip'] == 'b' and 'inside the frame' in report.failed[0]['error']
    assert 'prompts[4] is not a prompt' in report.failed[1]['error'] and len(report.failed) == 2
    [problem] = report.problems
    assert (problem['clip'], problem['object']) == ('a', 7) and "no frame '00099'" in problem['error']
    assert len(list((out / 'masks/a').iterdir())) == COUNT
    assert set(np.unique(np.asarray(Image.open(out / 'masks/a/00000.png')))) <= {0, 1}
    with pytest.raises(ValueError, match='set sam2'):
        refine_video(frames, path, clips.folder / 'other', **kwargs)


def test_prompts_are_checked(clips):
    path = clips.folder / 'prompts.json'
    for record in (
        {'clip': 'a', 'frame': '00000', 'object': 0, 'box': [1, 2, 3, 4]},
        {'clip': 'a', 'frame': '00000', 'object': 1, 'points': [[1, 2]]},
        {'clip': 'a', 'frame': '00000', 'object': 1, 'box': [1, 2, 3]},
        {'clip': 'a', 'frame': '00000', 'object': 1},
        {'frame': '00000', 'object': 1, 'box': [1, 2, 3, 4]},
    ):
        path.write_text(json.dumps({'prompts': [record]}))
        with pytest.raises(ValueError, match=r'prompts\[0\] is not a prompt: expected'):
            refine_video(clips.folder / 'frames', path, clips.folder / 'out', sam2={}, progress=False)


def test_a_bad_clip_ends_no_job(clips):
    """Of four clips one lacks a frame, one has an empty mask; both are named, the others are done.

    When they are mended, the same call does only those, and ends as if they had been well.
    """
    bad = Clips(clips.folder / 'more', ['gap', 'void'])
    for kind in ('frames', 'masks'):
        for name in ('gap', 'void'):
            (bad.folder / kind / name).rename(clips.folder / kind / name)
    frames = clips.folder / 'frames'
    (frames / 'gap' / '00001.png').rename(clips.folder / 'kept.png')
    for frame in range(COUNT):
        empty = Image.fromarray(np.zeros(SIZE_HW, np.uint8))
        empty.save(clips.folder / 'masks' / 'void' / f'{frame:05d}.png')
    report = clips.refine()
    reasons = {item['clip']: item['error'] for item in report.failed}
    assert sorted(reasons) == ['gap', 'void']
    for name, words in (('gap', 'followed by 00002'), ('void', 'are empty')):
        assert words in reasons[name]
    assert sorted(path.name for path in (clips.folder / 'out' / 'masks').iterdir()) == ['a', 'b']
    (clips.folder / 'kept.png').rename(frames / 'gap' / '00001.png')
    refiner = BrightRefiner()
    again = clips.refine(model=refiner)
    assert [item['clip'] for item in again.clips] == ['a', 'b', 'gap']
    assert len(refiner.batches) <= 2 * COUNT  # of 'gap' alone


def _damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def _crop(path: Path) -> None:
    Image.fromarray(scene(2)[0][:40]).save(path)


def _copy(path: Path) -> None:
    path.with_suffix('.bmp').write_bytes(path.read_bytes())


FRAME_FAULTS = {
    'damaged': (_damage, 'damaged or truncated'),
    'cropped': (_crop, 'must have the same size'),
    'twice': (_copy, 'are the same frame'),
    'missing': (Path.unlink, 'does not exist'),
}


@pytest.mark.parametrize('frame', [0, 2])
@pytest.mark.parametrize('masks', ['masks', 'masks.json'])
@pytest.mark.parametrize('fault', FRAME_FAULTS)
def test_a_bad_frame_fails_alone(clips, fault, masks, frame):
    """Its masks are kept as they came, with the reason; on all others the objects grow to their bright squares."""
    if (masks, fault) in (('masks', 'missing'), ('masks.json', 'twice')):
        return  # a folder does not say which frames it should have; a file with names names one of two
    make, reason = FRAME_FAULTS[fault]
    make(clips.folder / f'frames/a/{frame:05d}.png')
    report = clips.refine(masks, write=('png', 'json'), overlay=True)
    [problem] = report.problems
    assert (problem['clip'], problem['frame'], problem['object']) == ('a', f'{frame:05d}', None) and not report.failed
    assert reason in problem['error'] and problem['error'].endswith('Its masks are kept.')
    assert [entry['frames'] for entry in report.clips] == [COUNT - 1, COUNT]
    before = json.loads((clips.folder / 'masks.json').read_text())['annotations'][0]['segmentations'][frame]
    after = json.loads((clips.folder / 'out/masks.json').read_text())['annotations'][0]['segmentations']
    assert after[frame] == before
    names = {1: 1, 3: 3} if masks == 'masks' else {1: 1, 3: 2}  # in JSON objects are counted
    for number in range(COUNT):
        wanted = coarse(scene(number)[1]) if number == frame else scene(number)[1]
        wanted = sum((wanted == old) * new for old, new in names.items())
        assert np.array_equal(np.asarray(clips.read('a', number)), wanted), number
    # Mended, it is done as if it had been well.
    Clips(clips.folder / 'well', ['a', 'b'])
    (clips.folder / f'frames/a/{frame:05d}.bmp').unlink(missing_ok=True)
    (clips.folder / f'well/frames/a/{frame:05d}.png').rename(clips.folder / f'frames/a/{frame:05d}.png')
    assert clips.refine(masks, write=('png', 'json'), overlay=True).is_clean
    clips.refine(masks, 'whole', write=('png', 'json'), overlay=True)
    assert files_of(clips.folder / 'out') == files_of(clips.folder / 'whole')


def test_masks_of_a_bad_frame_may_have_its_size(clips):
    _crop(clips.folder / 'frames/a/00002.png')
    cropped = coarse(scene(2)[1])[:40]
    Image.fromarray(cropped).save(clips.folder / 'masks/a/00002.png')
    [problem] = clips.refine(write=('png', 'json')).problems
    assert problem['frame'] == '00002' and 'must have the same size' in problem['error']
    assert np.array_equal(np.asarray(clips.read('a', 2)), cropped)


def test_two_files_of_masks_for_a_frame_fail_alone(clips):
    """Nothing is known of that frame, so it gets the propagated masks of the one before."""
    (clips.folder / 'masks/a/2.png').write_bytes((clips.folder / 'masks/a/00002.png').read_bytes())
    report = clips.refine()
    [problem] = report.problems
    assert problem['frame'] == '00002' and 'both belong to frame 00002' in problem['error'] and not report.failed
    for frame in range(COUNT):
        assert np.count_nonzero(np.asarray(clips.read('a', frame)) != scene(frame)[1]) < 40 * (frame == 2) + 1


def test_a_clip_whose_prompt_is_on_a_bad_frame_fails(clips):
    for path in sorted((clips.folder / 'masks/a').iterdir())[1:]:
        path.unlink()
    _damage(clips.folder / 'frames/a/00000.png')
    report = clips.refine()
    assert [entry['clip'] for entry in report.clips] == ['b']
    assert 'no frame that can be used has a mask: ' in report.failed[0]['error']


class Stopped(BrightRefiner):
    """Is stopped on the second frame of the second clip."""

    stop = True

    def _refine_batch(self, inputs):
        if self.stop and len(self.batches) == COUNT + 1:
            raise KeyboardInterrupt
        return super()._refine_batch(inputs)


def test_killed_job_goes_on_with_the_clip(clips):
    """Stopped in the second clip, only that is done again, with the same end as in one go."""
    refiner = Stopped()
    with pytest.raises(KeyboardInterrupt):
        clips.refine(model=refiner, min_agreement=0)
    assert [path.name for path in (clips.folder / 'out' / 'masks').iterdir() if path.name[0] != '.'] == ['a']
    refiner.stop, refiner.batches = False, []
    clips.refine(model=refiner, min_agreement=0)
    assert len(refiner.batches) == COUNT
    clips.refine(model=refiner, min_agreement=0, out='whole')
    made = {path.relative_to(clips.folder / 'out'): path.read_bytes() for path in (clips.folder / 'out').rglob('*.png')}
    whole = clips.folder / 'whole'
    assert made == {path.relative_to(whole): path.read_bytes() for path in whole.rglob('*.png')} and len(made) == 8


def test_other_settings_are_not_mixed(clips):
    clips.refine()
    with pytest.raises(ValueError, match='other settings .*min_agreement'):
        clips.refine(min_agreement=0.5)
    assert clips.refine(min_agreement=0.5, overwrite=True).total['clips'] == 2


def test_finished_job_is_not_done_again(clips):
    first = clips.refine()
    refiner = BrightRefiner()
    assert clips.refine(model=refiner).total == first.total
    assert not refiner.batches


def test_bad_arguments(clips):
    with pytest.raises(ValueError, match='some of the formats'):
        clips.refine(write=('gif',))
    with pytest.raises(ValueError, match='would .* the coarse masks'):
        clips.refine(out='.')
    with pytest.raises(ValueError, match='fast .* needs sam2'):
        clips.refine(fast=True)
    with pytest.raises(FileNotFoundError, match='do not exist'):
        clips.refine('absent')


CONFIG = (
    "custom_imports = dict(imports=['tests.helpers.bright_refiner'])\nmodel = dict(type='BrightRefiner', noise=0.1)\n"
)


def test_two_processes_share_the_clips(tmp_path, repo_root):
    """As docs/scaling.md says; the end is that of one process."""
    clips = Clips(tmp_path, ['a', 'b', 'c', 'd'])
    (tmp_path / 'bright.py').write_text(CONFIG)
    clips.refine(model=str(tmp_path / 'bright.py'), device='cpu', out='one', write=('png', 'json'))
    command = (
        f'{repo_root}/tools/dist_refine.sh 2 frames masks --out two --write png json --config bright.py --device cpu'
    )
    paths = {'PYTHONPATH': str(repo_root), 'PATH': f'{Path(sys.executable).parent}:{os.environ["PATH"]}'}
    more = {'TOOL': 'refine_video.py', 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''}
    done = subprocess.run(
        ['bash', *command.split()],
        cwd=tmp_path,
        env={**os.environ, **paths, **more},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('total: 4 clips') == 1 and f'frames {4 * COUNT}/{4 * COUNT}' in done.stderr
    one, two = (files_of(tmp_path / out) for out in ('one', 'two'))
    summaries = [json.loads(files.pop('summary.json')) for files in (one, two)]
    assert one == two and len(one) == 4 * COUNT + 1
    assert summaries[0]['clips'] == summaries[1]['clips']


def test_a_mask_that_cannot_be_used_fails_alone(clips):
    """Of a clip in JSON: it stays as it came, the others are refined."""
    content = json.loads((clips.folder / 'masks.json').read_text())
    bad = {'size': [1, 1], 'counts': 'x'}
    content['annotations'][1]['segmentations'][2] = bad
    content['annotations'][2]['iscrowd'] = 1
    (clips.folder / 'masks.json').write_text(json.dumps(content))
    report = clips.refine('masks.json')
    [problem] = report.problems
    assert (problem['clip'], problem['frame'], problem['object']) == ('a', '00002', 2) and not report.failed
    after = json.loads((clips.folder / 'out/masks.json').read_text())['annotations']
    assert after[1]['segmentations'][2] == bad and after[2] == content['annotations'][2]
    for index, frame in ((0, 2), (1, 1), (3, 2)):
        assert after[index]['segmentations'][frame] != content['annotations'][index]['segmentations'][frame]


def test_records_that_belong_to_no_clip_are_reported_and_stay(clips):
    """Also objects with too few masks; the order of the records is that of the file."""
    content = json.loads((clips.folder / 'masks.json').read_text())
    content['annotations'][1]['segmentations'].pop()
    content['annotations'][2:2] = [None, {'video_id': 99, 'segmentations': []}]
    (clips.folder / 'masks.json').write_text(json.dumps(content))
    report = clips.refine('masks.json')
    [problem], [failure] = report.problems, report.failed
    assert (problem['clip'], problem['frame'], problem['object']) == ('a', None, 2)
    assert failure['clip'] == 'records of masks.json' and 'annotation 2' in failure['error']
    after = json.loads((clips.folder / 'out/masks.json').read_text())['annotations']
    assert after[1:4] == content['annotations'][1:4] and len(after) == len(content['annotations'])
    assert [record and record.get('id') for record in after] == [
        record and record.get('id') for record in content['annotations']
    ]
    assert after[0]['segmentations'] != content['annotations'][0]['segmentations']

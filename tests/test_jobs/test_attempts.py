"""Work that takes its process with it is found, tried twice and then left out; everything else is done."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import numpy as np
import pytest

from mmrefine.jobs import JobReport, refine_dataset, refine_video
from mmrefine.jobs.shares import ShareRunner
from mmrefine.models.refiners import RefineInput
from tests.helpers.bright_refiner import BrightRefiner
from tests.helpers.clips import Clips
from tests.helpers.scenes import Scenes, files_of


class Deadly(BrightRefiner):
    """Ends its process on images whose first coarse mask is this one.

    Args:
        mask: (H, W) bool.
        end: how.
    """

    def __init__(self, mask: np.ndarray, end: Callable[[], None] = lambda: os._exit(9), noise: float = 0.1):
        super().__init__(noise=noise)
        self._mask, self._end = mask, end

    def _refine_image(self, item: RefineInput) -> tuple[np.ndarray, np.ndarray]:
        if item.masks[0].shape == self._mask.shape and np.array_equal(item.masks[0], self._mask):
            self._end()
        return super()._refine_image(item)


def in_process(function: Callable[[], object]) -> int:
    """The exit status of a process that calls this; -9 if it was killed."""
    child = os.fork()
    if child == 0:
        try:
            function()
        except KeyboardInterrupt:
            os._exit(130)
        except BaseException:
            os._exit(70)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Attempts:
    """Runs of one job, each in a process of its own."""

    def __init__(self, scenes: Scenes, masks: str, **options: object):
        self.scenes, self.masks = scenes, masks
        self.options = {'device': 'cpu', 'progress': False, 'semantic': masks == 'labels', **options}

    def run(self, model: BrightRefiner, out: str = 'out', **more: object) -> JobReport:
        folder = self.scenes.folder
        options = {**self.options, **more, 'model': model}
        return refine_dataset(folder / 'photos', folder / self.masks, folder / out, **options)

    def until_done(self, model: BrightRefiner) -> list[int]:
        """Exit statuses of one run after the other, until one comes to its end."""
        statuses = []
        while not statuses or (statuses[-1] and len(statuses) < 6):
            statuses.append(in_process(lambda: self.run(model)))
        return statuses


@pytest.mark.parametrize(('masks', 'batch_masks'), [('masks', 1), ('masks', 8), ('coco.json', 4), ('labels', 8)])
def test_an_image_that_ends_its_process_is_left_out_after_two_attempts(
    scenes: Scenes, masks: str, batch_masks: int
) -> None:
    """Also where it is refined together with others, which are all done."""
    # Regions of label maps come in the order of their labels, so the first mask is the same in all kinds.
    attempts = Attempts(scenes, masks, batch_masks=batch_masks)
    deadly = Deadly(scenes.coarse[2, 0])
    assert attempts.until_done(deadly) == [9, 9, 0]
    report = attempts.run(deadly)
    [failure] = report.failed
    assert failure['image'] == 'scene_2.png' and 'the process died 2 times while refining it' in failure['error']
    assert 'attempts' in failure['error'] and report.total['images'] == 4
    harmless = BrightRefiner(noise=0.1)
    attempts.run(harmless, 'whole')
    made, whole = files_of(scenes.folder / 'out'), files_of(scenes.folder / 'whole')
    if masks != 'coco.json':
        assert {name: made[name] for name in made if name != 'summary.json'} == {
            name: whole[name] for name in whole if name not in ('summary.json', 'masks/scene_2.png')
        }


def test_a_deadly_image_is_tried_again_when_it_has_changed_hands(scenes: Scenes) -> None:
    """Overwriting starts anew, and so does deleting the marks, as the message says."""
    attempts = Attempts(scenes, 'masks', batch_masks=1)
    attempts.until_done(Deadly(scenes.coarse[2, 0]))
    again = Deadly(scenes.coarse[2, 0], end=lambda: None)
    assert len(attempts.run(again).failed) == 1
    assert not attempts.run(again, overwrite=True).failed


def test_killed_once_ends_as_if_unbroken(scenes: Scenes) -> None:
    """With the group that was in work refined whole, as it would have been."""
    marker = scenes.folder / 'marker'

    def die_once() -> None:
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    attempts = Attempts(scenes, 'coco.json', batch_masks=4)
    assert attempts.until_done(Deadly(scenes.coarse[3, 0], die_once)) == [-9, 0]
    attempts.run(BrightRefiner(noise=0.1), 'whole')
    made, whole = files_of(scenes.folder / 'out'), files_of(scenes.folder / 'whole')
    assert made['coco.json'] == whole['coco.json']


def test_a_signal_counts_no_attempt(scenes: Scenes) -> None:
    """As by a queue that wants the machine for others, any number of times."""
    attempts = Attempts(scenes, 'masks', batch_masks=1)
    told = Deadly(scenes.coarse[2, 0], lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert [in_process(lambda: attempts.run(told)) for _ in range(3)] == [130] * 3
    assert not attempts.run(BrightRefiner(noise=0.1)).failed


def test_an_image_that_cannot_be_read_alive(scenes: Scenes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading happens ahead of refining, so more than one image is under suspicion; only one is left out."""
    load = ShareRunner._load

    def die(self: ShareRunner, task: object) -> object:
        if task.name == 'scene_3.png':
            os._exit(9)
        return load(self, task)

    monkeypatch.setattr(ShareRunner, '_load', die)
    attempts = Attempts(scenes, 'masks', batch_masks=1)
    refiner = BrightRefiner()
    statuses = attempts.until_done(refiner)
    assert statuses[-1] == 0 and len(statuses) <= 4
    report = attempts.run(refiner)
    assert 'scene_3.png' in {failure['image'] for failure in report.failed}
    assert len(report.failed) == 1


def test_a_clip_that_ends_its_process(clips: Clips) -> None:
    class DeadlyForB(BrightRefiner):
        def _refine_batch(self, inputs: list[RefineInput]) -> list:
            if (clips.folder / 'out/masks/a').exists():
                os._exit(9)
            return super()._refine_batch(inputs)

    def run() -> None:
        frames, masks, out = (clips.folder / name for name in ('frames', 'masks', 'out'))
        report = refine_video(frames, masks, out, model=DeadlyForB(), min_agreement=0, progress=False)
        assert [failure['clip'] for failure in report.failed] == ['b'] and len(report.clips) == 1

    assert [in_process(run) for _ in range(3)] == [9, 9, 0]


def test_clips_killed_once_end_as_if_unbroken(clips: Clips) -> None:
    class KilledInB(BrightRefiner):
        def _refine_batch(self, inputs: list[RefineInput]) -> list:
            marker = clips.folder / 'marker'
            if (clips.folder / 'out/masks/a').exists() and not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super()._refine_batch(inputs)

    def run(out: str = 'out') -> None:
        frames, masks = clips.folder / 'frames', clips.folder / 'masks'
        refiner = KilledInB(noise=0.1)
        refine_video(frames, masks, clips.folder / out, model=refiner, progress=False, write=('png', 'json'))

    assert [in_process(run) for _ in range(2)] == [-9, 0]
    run('whole')
    assert files_of(clips.folder / 'out') == files_of(clips.folder / 'whole')

"""What a job remembers of the tasks that are done."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmrefine.jobs.files import PartStore


def test_parts_are_remembered(tmp_path: Path) -> None:
    parts = PartStore(tmp_path / '.parts', {'seed': 0})
    assert not parts.has(12345)
    parts.write(12345, {'value': 1})
    again = PartStore(tmp_path / '.parts', {'seed': 0})
    assert again.has(12345) and again.read(12345) == {'value': 1}
    with pytest.raises(ValueError, match=r'results of a job with other settings \(seed 0, now 1\).*--overwrite'):
        PartStore(tmp_path / '.parts', {'seed': 1})


def test_a_part_cut_short_does_not_count(tmp_path: Path) -> None:
    parts = PartStore(tmp_path / '.parts', {})
    parts.write(3, 'done')
    (tmp_path / '.parts' / '000000' / '.000000004.json.unfinished').write_text('{"val')
    assert not parts.has(4)
    parts.write(4, 'done')
    assert sorted(os.listdir(tmp_path / '.parts' / '000000')) == ['000000003.json', '000000004.json']

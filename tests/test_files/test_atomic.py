"""Files appear whole or not at all, and what goes wrong is said in a sentence."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mmrefine.files.atomic import OutputError, remove_results, whole_file


def write(path: Path, text: str = 'text') -> None:
    with whole_file(path) as file:
        file.write(text)


def test_file_and_folders_are_made(tmp_path: Path) -> None:
    write(tmp_path / 'a' / 'b.txt', 'größe')
    assert (tmp_path / 'a' / 'b.txt').read_bytes().decode('utf-8') == 'größe'
    assert os.listdir(tmp_path / 'a') == ['b.txt']


def test_old_content_stays_until_the_new_is_complete(tmp_path: Path) -> None:
    path = tmp_path / 'a.txt'
    write(path, 'old')
    with pytest.raises(RuntimeError), whole_file(path) as file:
        file.write('half')
        raise RuntimeError
    assert path.read_text() == 'old'
    write(path, 'new')
    assert path.read_text() == 'new' and os.listdir(tmp_path) == ['a.txt']


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='needs the device that is always full')
def test_full_disk(tmp_path: Path) -> None:
    (tmp_path / '.a.txt.unfinished').symlink_to('/dev/full')
    with pytest.raises(
        OutputError, match='the disk is full: .*a.txt could not be written; .* goes on where it stopped'
    ):
        write(tmp_path / 'a.txt')
    assert not (tmp_path / 'a.txt').exists()


def test_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('')
    with pytest.raises(
        OutputError, match=r'file/sub/a.txt cannot be written \(Not a directory\); choose another --out'
    ):
        write(tmp_path / 'file' / 'sub' / 'a.txt')
    (tmp_path / 'folder').mkdir()
    with pytest.raises(OutputError, match='folder cannot be written'):
        write(tmp_path / 'folder')


def test_results_are_removed_where_they_are(tmp_path: Path) -> None:
    write(tmp_path / '.parts' / '1.json')
    (tmp_path / 'summary.json').write_text(json.dumps({}))
    remove_results(tmp_path / '.parts', tmp_path / 'summary.json', tmp_path / 'nothing')
    assert os.listdir(tmp_path) == []

"""Files appear whole or not at all, and what goes wrong is said in a sentence."""

from __future__ import annotations

import errno
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


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / 'a.txt', 'old')

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(
        OutputError, match='the disk is full: .*a.txt could not be written; .* resumes where it stopped'
    ):
        write(tmp_path / 'a.txt', 'new')
    assert (tmp_path / 'a.txt').read_text() == 'old' and os.listdir(tmp_path) == ['a.txt']


def test_content_is_on_the_disk_before_the_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a power cut would leave: fsync sees all of the new content while the name still has the old."""
    write(tmp_path / 'a.txt', 'old')
    seen = []

    def fsync(number: int) -> None:
        seen.append((os.fstat(number).st_size, (tmp_path / 'a.txt').read_text()))

    monkeypatch.setattr(os, 'fsync', fsync)
    write(tmp_path / 'a.txt', 'content')
    assert seen[0] == (7, 'old') and [text for _, text in seen[1:]] == ['content']  # then that of the folder
    assert (tmp_path / 'a.txt').read_text() == 'content'


def test_a_link_in_the_place_of_the_unfinished_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / 'precious').write_text('precious')
    (tmp_path / '.a.txt.unfinished').symlink_to(tmp_path / 'precious')
    write(tmp_path / 'a.txt')
    assert (tmp_path / 'precious').read_text() == 'precious' and not (tmp_path / 'a.txt').is_symlink()


@pytest.mark.parametrize('name', ['a' * 251 + '.png', 'ä' * 125 + '.png', 'a' * 255])
def test_names_as_long_as_they_can_be(tmp_path: Path, name: str) -> None:
    write(tmp_path / name)
    assert os.listdir(tmp_path) == [name]


def test_two_processes_may_write_one_file(tmp_path: Path) -> None:
    with whole_file(tmp_path / 'a.txt', shared=True) as file, whole_file(tmp_path / 'a.txt') as other:
        file.write('one')
        other.write('two')
    assert os.listdir(tmp_path) == ['a.txt']


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


def test_errors_of_what_is_done_meanwhile_are_their_own(tmp_path: Path) -> None:
    """A source that cannot be read while a result is being written is no reason to choose another place."""
    with pytest.raises(FileNotFoundError) as error, whole_file(tmp_path / 'a.txt'):
        (tmp_path / 'source.txt').read_text()
    assert not isinstance(error.value, OutputError) and os.listdir(tmp_path) == []
    with pytest.raises(ConnectionError, match='gone'), whole_file(tmp_path / 'a.txt'):
        raise ConnectionError('gone')

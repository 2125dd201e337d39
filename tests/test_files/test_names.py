"""Names of files: found, refused, matched and shown."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path

import pytest

from mmrefine.files.image_table import ImageTable
from mmrefine.files.images import list_images, read_image
from mmrefine.files.json_stream import read_json
from mmrefine.files.names import check_readable, find_files, locate, name_key, name_problem, printable

NFC, NFD = (unicodedata.normalize(form, 'größe.jpg') for form in ('NFC', 'NFD'))


def touch(folder: Path, *names: str | bytes) -> Path:
    for name in names:
        path = Path(os.fsdecode(os.path.join(os.fsencode(folder), os.fsencode(name))))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def test_a_folder_that_cannot_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in it would silently be left out."""
    touch(tmp_path, 'a.png', 'closed/b.png')
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith('closed'):
            raise PermissionError(13, 'Permission denied', str(path))
        return scandir(path)

    monkeypatch.setattr(os, 'scandir', refuse)
    with pytest.raises(PermissionError, match='folder .*closed cannot be read: Permission denied'):
        find_files(tmp_path, ('.png',))


def test_hidden_files_are_no_images(tmp_path: Path) -> None:
    touch(tmp_path, 'b.jpg', 'a/c.JPG', '._b.jpg', '.a.jpg', '.parts/d.jpg', 'notes.txt', 'a.b/e.jpg')
    assert list(find_files(tmp_path, ('.jpg',))) == ['a/c.JPG', 'a.b/e.jpg', 'b.jpg']
    assert [path.name for path in list_images(tmp_path)] == ['c.JPG', 'e.jpg', 'b.jpg']
    assert find_files(tmp_path / '.a.jpg', ('.jpg',)) == {'.a.jpg': tmp_path / '.a.jpg'}  # somebody asked for it
    assert find_files(tmp_path / 'notes.txt', ('.jpg',)) == {}


@pytest.mark.parametrize('read', [read_image, read_json, check_readable])
def test_pipes_and_folders_are_refused_and_not_waited_for(tmp_path: Path, read) -> None:
    os.mkfifo(tmp_path / 'pipe.jpg')
    with pytest.raises(ValueError, match='pipe.jpg is a pipe or a device; expected a file'):
        read(tmp_path / 'pipe.jpg')
    with pytest.raises(ValueError, match='is a folder; expected a file'):
        read(tmp_path)
    for name in ('none.jpg', 'pipe.jpg/none.jpg'):
        with pytest.raises(FileNotFoundError, match='none.jpg does not exist'):
            read(tmp_path / name)
    (tmp_path / 'loop.jpg').symlink_to('loop.jpg')
    with pytest.raises(OSError, match='loop.jpg'):
        read(tmp_path / 'loop.jpg')
    with pytest.raises(ValueError, match='NUL'):
        read(tmp_path / 'a\0b.jpg')
    with pytest.raises(ValueError, match='at most 255 bytes, got 304'):
        read(tmp_path / ('a' * 300 + '.jpg'))


@pytest.mark.parametrize(
    ('name', 'problem'),
    [
        (None, 'must be a string, got null'),
        (7, 'must be a string, got 7'),
        (['a.jpg'], "must be a string, got .'a.jpg'."),
        ('', 'must end with a file name'),
        ('.', 'must end with a file name'),
        ('..', 'must end with a file name'),
        ('/', 'must end with a file name'),
        ('a/', 'must end with a file name'),
        ('a\\..', 'must end with a file name'),
        ('a\0.jpg', 'must not contain NUL'),
        ('\ud800.jpg', 'must be valid Unicode'),
        ('ä' * 130 + '.jpg', 'at most 255 bytes, got 264'),
    ],
)
def test_names_that_no_file_can_have(name: object, problem: str) -> None:
    assert re.search(problem, name_problem(name))


@pytest.mark.parametrize('name', ['a.jpg', 'a/b.jpg', '../a.jpg', 'a\\b.jpg', 'a' * 251 + '.jpg', 'caf\udce9.jpg', NFD])
def test_names_that_a_file_can_have(name: str) -> None:
    assert name_problem(name) == ''


def test_names_that_mean_the_same() -> None:
    assert NFC != NFD and name_key(NFC) == name_key(NFD)
    assert name_key('a\\b.jpg') == name_key('./a//b.jpg') == 'a/b.jpg'


@pytest.mark.parametrize('on_disk', [NFC, NFD])
@pytest.mark.parametrize('named', [NFC, NFD])
def test_accents_in_one_character_or_two(tmp_path: Path, on_disk: str, named: str) -> None:
    touch(tmp_path, f'a/{on_disk}')
    assert ImageTable(tmp_path).find(f'a/{Path(named).with_suffix(".png")}') == f'a/{on_disk}'
    assert locate(tmp_path, f'a\\{named}') == tmp_path / 'a' / on_disk
    assert locate(tmp_path, 'none.jpg') == tmp_path / 'none.jpg'


def test_both_at_once_are_distinguished_or_refused(tmp_path: Path) -> None:
    table = ImageTable(touch(tmp_path, NFC, NFD))
    assert table.find(NFC) == NFC and table.find(NFD) == NFD
    with pytest.raises(ValueError, match='could belong to'):
        table.find(NFC.replace('.jpg', '.png'))


def test_names_in_latin_1(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 stay the name of their file, and are spelled out where they are shown."""
    touch(tmp_path, 'café.jpg'.encode('latin-1'))
    [path] = list_images(tmp_path)
    assert path.exists() and ImageTable(tmp_path).find(path.stem) == path.name
    assert printable(path.name) == 'caf\\udce9.jpg'


def test_nothing_but_text_reaches_a_terminal() -> None:
    assert printable('größe 東京 😀\n\tb') == 'größe 東京 😀\n\tb'
    assert printable('\x1b[31mred\x1b[0m\r\x07\x9b2J') == '\\x1b[31mred\\x1b[0m\\r\\x07\\x9b2J'
    assert printable('\u202egpj.exe\ud800') == '\\u202egpj.exe\\ud800'
    printable('\ud800\udce9').encode('utf-8')

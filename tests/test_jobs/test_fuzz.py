"""Hostile inputs, drawn from seeds: a clean result or one sentence, and never a lost or changed file of the user's.

Each case makes a small dataset, damages some of it, runs the tool in this process, often twice with more damage in
between, and compares all files outside of the results with what they were.
"""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import io
import json
import os
import random
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmrefine.core.rle import encode_rle, encode_runs

SIZE_HW = (20, 28)
COUNT = 3
CONFIG = "custom_imports = dict(imports=['tests.helpers.bright_refiner'])\nmodel = dict(type='BrightRefiner')\n"
HOSTILE = [
    None, True, False, 0, -1, 1, 3.5, 1e308, -1e308, float('nan'), float('inf'), 10**30, 2**63,
    '', '.', '..', '/', 'a' * 300, '/etc/passwd', '../../x.png', 'C:\\x.png', 'x\0y', '\x1b[31mred', '\ud800', 'é',
    [], {}, [[]], [[[]]], [None], [0], [[0, 0]], [[1, 1, 2, 2]], [['a'] * 6],
    [[1, 1, 5, 1, 5, float('nan')]], [[1, 1, 1e300, 1, 5, 5]], [[1, 1, 5, 1, 5, 5], [2]],
    {'size': [20, 28], 'counts': 'x'}, {'size': [28, 20], 'counts': [560]}, {'size': [20, 28], 'counts': [560.0]},
    {'size': [20, 28], 'counts': [-5, 565]}, {'size': [2**40, 2**40], 'counts': [2**80]},
    {'size': None, 'counts': None},
]  # fmt: skip
NAMES = ['é.png', 'e\u0301.png', 'x' * 250 + '.png', 'a b\x1b[31m.png', '._scene_0.png', 'scene_0.PNG', '-x.png']
NAMES += ['a\\b.png']
RAW_NAMES = [b'caf\xe9.png', b'\xff\xfe.png']


# ---- a dataset ----


def pair(index: int) -> tuple[np.ndarray, np.ndarray]:
    """An image and the label map of its two objects."""
    labels = np.zeros(SIZE_HW, np.uint8)
    labels[3 : 10 + index, 2:12] = 1
    labels[6:16, 15 : 25 - index] = 2
    image = np.full((*SIZE_HW, 3), 20, np.uint8)
    image[labels > 0] = 200
    return image, labels


def make_set(folder: Path) -> None:
    """Images, masks of all kinds with their ground truth, and clips."""
    for kind in ('photos', 'masks', 'truth', 'labels', 'cams', 'frames/a', 'maps/a'):
        (folder / kind).mkdir(parents=True)
    annotations, images = [], []
    for index in range(COUNT):
        image, labels = pair(index)
        name = f'scene_{index}.png'
        coarse = labels.copy()
        coarse[:4] = 0
        Image.fromarray(image).save(folder / 'photos' / name)
        Image.fromarray((coarse == 1).astype(np.uint8) * 255).save(folder / 'masks' / name)
        Image.fromarray((labels == 1).astype(np.uint8) * 255).save(folder / 'truth' / name)
        Image.fromarray(coarse).save(folder / 'labels' / name)
        np.save(
            folder / f'cams/scene_{index}.npy', {'keys': np.array([0]), 'cam': (coarse == 1)[None].astype(np.float32)}
        )
        Image.fromarray(image).save(folder / f'frames/a/{index:05d}.png')
        Image.fromarray(coarse).save(folder / f'maps/a/{index:05d}.png')
        images.append({'id': index, 'file_name': name, 'height': SIZE_HW[0], 'width': SIZE_HW[1]})
        for label, encode in ((1, encode_rle), (2, encode_runs)):
            known = {'id': len(annotations), 'image_id': index, 'category_id': label, 'iscrowd': 0, 'area': 5}
            annotations.append({**known, 'bbox': [1, 2, 3, 4], 'segmentation': encode(coarse == label)})
    annotations[1]['segmentation'] = [[15, 6, 24, 6, 24, 15, 15, 15]]
    categories = [{'id': 1, 'name': 'one'}, {'id': 2, 'name': 'two'}]
    coco = {'images': images, 'categories': categories, 'annotations': annotations}
    write_json(folder / 'coco.json', coco)
    write_json(folder / 'truth.json', coco)
    kept = ('image_id', 'category_id', 'segmentation')
    results = [{'score': 0.5, **{key: item[key] for key in kept}} for item in annotations]
    write_json(folder / 'results.json', results)
    video = {'id': 1, 'file_names': [f'a/{index:05d}.png' for index in range(COUNT)], 'height': 20, 'width': 28}
    tracks = [
        {'id': k, 'video_id': 1, 'category_id': k, 'segmentations': [encode_rle(pair(i)[1] == k) for i in range(COUNT)]}
        for k in (1, 2)
    ]
    write_json(folder / 'vis.json', {'videos': [video], 'categories': categories, 'annotations': tracks})
    (folder / 'bright.py').write_text(CONFIG)


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))


# ---- damage ----


def key_paths(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """Paths to all values of a JSON document."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from key_paths(item, (*path, key))


def damage_json(path: Path, rng: random.Random) -> None:
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        content = None
    if content is None or rng.random() < 0.2:
        damage_bytes(path, rng)
        return
    for _ in range(rng.choice([1, 1, 1, 3])):
        at = rng.choice([index for index in key_paths(content) if index] or [()])
        parent = content
        for key in at[:-1]:
            parent = parent[key]
        if not at:
            content = rng.choice(HOSTILE)
        elif rng.random() < 0.2:
            del parent[at[-1]]
        elif rng.random() < 0.1 and isinstance(parent, list):
            parent.append(copy.deepcopy(parent[at[-1]]))
        else:
            parent[at[-1]] = copy.deepcopy(rng.choice(HOSTILE))
        if not isinstance(content, (dict, list)):
            break
    write_json(path, content)


def damage_bytes(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    kind = rng.choice(['cut', 'flip', 'empty', 'noise', 'bom', 'twice'])
    if kind == 'cut':
        content = content[: rng.randrange(len(content) + 1)]
    elif kind == 'flip' and content:
        for _ in range(rng.choice([1, 5, 50])):
            content[rng.randrange(len(content))] = rng.randrange(256)
    elif kind == 'empty':
        content = bytearray()
    elif kind == 'noise':
        content = bytearray(rng.randbytes(200))
    elif kind == 'bom':
        content = bytearray(b'\xef\xbb\xbf') + content
    elif kind == 'twice':
        content = content + content
    path.write_bytes(content)


def damage_image(path: Path, rng: random.Random) -> None:
    noise = np.random.default_rng(rng.randrange(2**32))
    kind = rng.choice(
        [
            'bytes',
            'bytes',
            'turned',
            'small',
            'colour',
            'deep',
            'grey',
            'palette',
            'bits',
            'pipe',
            'folder',
            'gone',
            'loop',
            'exif',
        ]
    )
    if kind == 'bytes':
        damage_bytes(path, rng)
        return
    path.unlink()
    shapes = {'turned': SIZE_HW[::-1], 'small': (SIZE_HW[0] // 2, SIZE_HW[1] // 2)}
    shape = shapes.get(kind, SIZE_HW)
    if kind == 'pipe':
        os.mkfifo(path)
    elif kind == 'folder':
        path.mkdir()
    elif kind == 'loop':
        path.symlink_to(path)
    elif kind == 'colour':
        Image.fromarray(noise.integers(0, 255, (*shape, rng.choice([3, 4])), np.uint8)).save(path)
    elif kind == 'deep':
        Image.fromarray(noise.integers(0, 65535, shape).astype(np.uint16)).save(path)
    elif kind == 'palette':
        Image.fromarray(noise.integers(0, 4, shape, np.uint8)).convert('P').save(path)
    elif kind == 'bits':
        Image.fromarray(noise.integers(0, 2, shape).astype(bool)).save(path)
    elif kind == 'exif':
        Image.fromarray(pair(0)[0]).save(path, exif=rng.randbytes(40))
    elif kind != 'gone':
        Image.fromarray(noise.integers(0, 256, shape, np.uint8)).save(path)


def rename(path: Path, rng: random.Random) -> None:
    name = rng.choice([*NAMES, *map(os.fsdecode, RAW_NAMES)])
    with contextlib.suppress(OSError):
        path.rename(path.with_name(name))


def add_strange(path: Path, rng: random.Random) -> None:
    """Something beside a file."""
    kind = rng.choice(['jpg', 'dot', 'text', 'pipe', 'empty'])
    if len(path.name) > 200:
        return
    if kind == 'jpg' and path.is_file():
        shutil.copy(path, path.with_suffix('.jpg'))
    elif kind == 'dot':
        path.with_name('._' + path.name).write_bytes(b'mac')
    elif kind == 'text':
        path.with_name('notes.txt').write_text('mine')
    elif kind == 'pipe' and not path.with_name('pipe.png').exists():
        os.mkfifo(path.with_name('pipe.png'))
    elif kind == 'empty':
        path.with_name('empty').mkdir(exist_ok=True)


def damage(folder: Path, names: list[str], rng: random.Random) -> None:
    """Damage one of these files or folders of files."""
    path = folder / rng.choice(names)
    if path.suffix == '.json':
        if path.is_file():
            damage_json(path, rng)
        return
    files = sorted(file for file in path.glob('*.[pn][np]*') if file.is_file() and not file.is_symlink())
    if files:
        file = rng.choice(files)
        actions = [damage_image] * 4 + [rename, add_strange]
        (damage_bytes if file.suffix == '.npy' else rng.choice(actions))(file, rng)


def damage_memory(out: Path, rng: random.Random) -> None:
    """Damage what the job keeps for itself, or its results."""
    files = sorted(path for path in out.rglob('*') if path.is_file())
    if files:
        path = rng.choice(files)
        path.unlink() if rng.random() < 0.3 else damage_bytes(path, rng)


# ---- running ----


KINDS: dict[str, tuple[list[str], list[str]]] = {  # arguments, and what may be damaged
    'coco': (['photos', 'coco.json'], ['photos', 'coco.json', 'coco.json']),
    'coco-images': (['coco.json', 'coco.json', '--image-root', 'photos'], ['photos', 'coco.json', 'coco.json']),
    'results': (['coco.json', 'results.json', '--image-root', 'photos'], ['results.json', 'coco.json', 'results.json']),
    'png': (['photos', 'masks'], ['photos', 'masks']),
    'labels': (['photos', 'labels', '--semantic'], ['photos', 'labels']),
    'labels-as-masks': (['photos', 'labels'], ['photos', 'labels']),
    'cam': (['photos', 'cams', '--cam', '--cam-threshold', '0.3'], ['cams', 'photos']),
    'davis': (['frames', 'maps'], ['frames/a', 'maps/a']),
    'vis': (['frames', 'vis.json'], ['vis.json', 'vis.json', 'frames/a']),
}
TRUTH = {
    'coco': 'truth.json',
    'coco-images': 'truth.json',
    'results': 'truth.json',
    'png': 'truth',
    'labels': 'labels',
    'cam': 'labels',
}
OPTIONS = [[], [], [], ['--pictures'], ['--overwrite'], ['--batch-masks', '1'], ['--seed', '7'], ['--no-gate']]
BAD_OPTIONS = [
    ['--seed', '-1'], ['--seed', '99999999999999999999'], ['--batch-masks', '0'], ['--workers', '0'],
    ['--ignore-label', '-3'], ['--ignore-label', '70000'], ['--background-label', '1000'], ['--cam-threshold', 'nan'],
    ['--checkpoint', 'coco.json'], ['--config', 'coco.json'], ['--gate', 'x=1'], ['--format', 'nothing'],
    ['--ignore-band'], ['--image-root', 'photos'],
]  # fmt: skip
PLACES = ['out'] * 12 + ['.', 'photos', 'photos/out', 'masks/out', 'coco.json', 'photos/scene_0.png', 'out/masks']


def tool(repo_root: Path, name: str) -> Callable[[list[str]], int]:
    spec = importlib.util.spec_from_file_location(f'fuzzed_{name}', repo_root / 'tools' / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(arguments: list[str]) -> int:
        before, sys.argv = sys.argv, [name, *arguments]
        try:
            return module.main()
        except SystemExit as error:
            return error.code
        finally:
            sys.argv = before

    return run


def snapshot(folder: Path, out: Path) -> dict[bytes, Any]:
    """What is outside of the results: kind and content of every file."""
    found = {}
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if Path(root, name) != out or out == folder]
        for name in (*folders, *files):
            path = Path(root, name)
            mode = path.lstat().st_mode
            content = path.read_bytes() if stat.S_ISREG(mode) else os.readlink(path) if stat.S_ISLNK(mode) else None
            found[os.fsencode(path)] = (stat.S_IFMT(mode), content)
    return found


def check_run(run: Callable, arguments: list[str], folder: Path, out: Path) -> int:
    """Run a tool, and hold it to its promises."""
    before = snapshot(folder, out)
    shown, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(said):
        status = run(arguments)
    after = snapshot(folder, out)
    assert status in (0, 1, 2), (status, said.getvalue())
    assert {path: after.get(path) for path in before} == before, 'a file of the user was lost or changed'
    if out != folder:
        assert not after.keys() - before.keys(), 'a file was written outside of --out'
    text = shown.getvalue() + said.getvalue()
    assert 'Traceback' not in text and '\x1b' not in text
    text.encode('utf-8')  # nothing that a terminal cannot show
    if status == 2:
        errors = [line for line in said.getvalue().splitlines() if line.startswith('error: ') or ' error: ' in line]
        assert len(errors) == 1, said.getvalue()
    return status


def run_case(seed: int, folder: Path, tools: dict[str, Callable]) -> None:
    rng = random.Random(seed)
    make_set(folder)
    kind = rng.choice(list(KINDS))
    arguments, targets = KINDS[kind]
    is_video = kind in ('davis', 'vis')
    run = tools['refine_video' if is_video else 'refine']
    out_name = rng.choice(PLACES) if rng.random() < 0.3 else 'out'
    more = list(rng.choice([[], ['--overlay'], ['--write', 'png', 'json'], ['--overwrite']] if is_video else OPTIONS))
    if not is_video and rng.random() < 0.15:
        more += rng.choice(BAD_OPTIONS)
    if kind in TRUTH and rng.random() < 0.3:
        more += ['--gt', TRUTH[kind]]
        targets = [*targets, TRUTH[kind]]
    if '--config' not in more:
        more += ['--config', 'bright.py']
    full = [*arguments, '--out', out_name, '--device', 'cpu', *more]
    # A second run elsewhere would rightly change what the first one wrote there.
    for _ in range(rng.choice([1, 1, 2, 3]) if out_name == 'out' else 1):
        for _ in range(rng.choice([0, 1, 1, 2, 4])):
            damage(folder, targets, rng)
        if rng.random() < 0.4 and (folder / 'out').is_dir():
            damage_memory(folder / 'out', rng)
        check_run(run, full, folder, folder / out_name if out_name == 'out' else folder)


@pytest.fixture(scope='module')
def tools(repo_root: Path) -> dict[str, Callable]:
    return {name: tool(repo_root, name) for name in ('refine', 'refine_video')}


def fuzz(seeds: range, tmp_path: Path, tools: dict[str, Callable], monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in seeds:
        folder = tmp_path / str(seed)
        folder.mkdir()
        monkeypatch.chdir(folder)
        try:
            run_case(seed, folder, tools)
        except BaseException as error:
            raise AssertionError(f'seed {seed} in {folder}') from error
        shutil.rmtree(folder)


@pytest.mark.parametrize('start', range(0, 240, 30))
def test_hostile_inputs(start: int, tmp_path: Path, tools: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    fuzz(range(start, start + 30), tmp_path, tools, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize('start', range(1000, 5000, 200))
def test_thousands_of_hostile_inputs(start: int, tmp_path: Path, tools: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    fuzz(range(start, start + 200), tmp_path, tools, monkeypatch)

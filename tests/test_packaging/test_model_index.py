"""What `mim` reads: the model index, its metafiles, and the configs that these name."""

from __future__ import annotations

import pytest
import yaml


@pytest.fixture(scope='module')
def metafiles(repo_root) -> list:
    index = yaml.safe_load((repo_root / 'model-index.yml').read_text())
    return [repo_root / path for path in index['Import']]


def test_every_metafile_is_listed_and_there(metafiles, repo_root):
    assert set(metafiles) == set((repo_root / 'configs').glob('*/metafile.yml'))


def test_models_belong_to_a_collection_and_have_a_config(metafiles, repo_root):
    for metafile in metafiles:
        content = yaml.safe_load(metafile.read_text())
        collections = {collection['Name'] for collection in content['Collections']}
        assert content['Models'], metafile
        for model in content['Models']:
            assert model['In Collection'] in collections, model['Name']
            assert (repo_root / model['Config']).is_file(), model['Config']

# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from semantic_models import SemanticCodec, load_images
from semantic_models.testing import tiny_codec


@pytest.fixture(scope="session")
def codec(tmp_path_factory):
    return SemanticCodec.load(tiny_codec(tmp_path_factory.mktemp("codec")), device="cpu")


@pytest.fixture(scope="session")
def images(codec):
    return load_images("synthetic:64", like=codec)


@pytest.fixture
def rng():
    return np.random.default_rng(5)

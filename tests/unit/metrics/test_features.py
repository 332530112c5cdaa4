"""Features of pictures by a vision model in a local folder."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nearlossless.cases.case import CaseError
from nearlossless.metrics.features import feature_reader
from nearlossless.miniature import JUDGE


def test_pooled_features_of_a_local_model(picture: Image.Image) -> None:
    """As many numbers as the model pools, the same at each call, others for another picture."""
    read = feature_reader(JUDGE)
    first = read(picture)
    assert first.shape == (128,)
    assert np.array_equal(first, read(picture))
    assert not np.allclose(first, read(picture.rotate(90)))


def test_what_is_no_vision_model_is_named(tmp_path: Path) -> None:
    """No folder, and a folder without a model."""
    with pytest.raises(CaseError, match="is no local folder"):
        feature_reader(tmp_path / "none")
    with pytest.raises(CaseError, match="no vision model can be loaded"):
        feature_reader(tmp_path)

from pathlib import Path

import pytest

from tests.helpers.dying_disk import OLD, Unsynced, publish


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    """Return a models folder in which one version is published and active."""
    models_dir = tmp_path / "models"
    publish(models_dir, OLD, Unsynced())
    return models_dir

"""Where the numbers of others lie, and a workspace of one's own for every test."""
import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("LITTLEBABY_SHARED", Path(__file__).parents[2] / "shared"))


def lying(folder, name):
    path = SHARED / folder / name
    if not path.exists():
        pytest.skip(f"no {folder}/{name} beside the project")
    return path


@pytest.fixture
def reference():
    """case -> the folder with another implementation's numbers"""
    return lambda case: lying("reference", case)


@pytest.fixture
def data():
    """name -> a real text"""
    return lambda name: lying("data", name)

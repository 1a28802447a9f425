"""A run of initial weights, and drawn films as files."""

import pytest

from tests.predict.conftest import first, workdir

__all__ = ["first", "workdir"]


@pytest.fixture(scope="session")
def film_paths(films_root):
    """The paths of 14 drawn films."""
    return sorted((films_root / "test").rglob("*.jpeg"))

"""Real slices of a small phantom, and the closed-form segmenter that other processes can import too."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sbldm.data import PreparedData
from search.cache import Cache
from search.config import ExperimentConfig
from search.stages import data_stage

Follow = Callable[..., tuple[list[Any], Any]]


@pytest.fixture(scope="session")
def rule() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent))
        import pixel_rule

        yield pixel_rule


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return Cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def tiny_data(tiny: ExperimentConfig, shared_cache: Cache, follow: Follow) -> PreparedData:
    return follow(data_stage(tiny, shared_cache))[1].data  # type: ignore[no-any-return]

"""A store behind a gate: its library's calls can be refused, or take their time, as with a server that is away."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import search.tracking.mlflow_client
from search.tracking import MlflowStore


@dataclass
class Gate:
    """What stands between the program and the library's client."""

    client: Any
    is_open: bool = True
    delay: float = 0.0
    asked: int = 0

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            self.asked += 1
            time.sleep(self.delay)
            if not self.is_open:
                raise ConnectionError("nobody is there")
            return getattr(self.client, name)(*arguments, **named)

        return call


@pytest.fixture
def gate(store: MlflowStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """A gate before the store of all tests; a store that is opened at its address stands behind it."""
    gate = Gate(store._client._client)
    monkeypatch.setattr(search.tracking.mlflow_client, "connect", lambda uri: gate)
    monkeypatch.setattr(search.tracking.mlflow_client, "SHORTEST_REST", 0.05)
    yield gate
    gate.is_open = True


@pytest.fixture
def behind(gate: Gate, store: MlflowStore, tmp_path: Path) -> MlflowStore:
    """A store that begins and goes on although nobody answers."""
    return MlflowStore(tmp_path / "home", store.uri, may_wait=True)

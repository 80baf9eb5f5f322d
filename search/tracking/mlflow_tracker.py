"""One run's record on its way to MLflow."""

import io
import time
from collections.abc import Mapping
from typing import Any

from search.tracking.items import Document, LogItem, Params, Picture, Scalar, Status, Tags

LONGEST_PARAM = 500
BUFFER = 100
SECONDS = 10


class MlflowTracker:
    """Write one run's record, step metrics in batches."""

    def __init__(self, client: Any, run_id: str) -> None:
        self._client = client
        self.run_id = run_id
        self._buffer: list[Scalar] = []
        self._sent = time.monotonic()
        self._told: dict[str, dict[int, float]] = {}

    def log(self, item: LogItem) -> None:
        """Record one item; step metrics wait until there are many, or some seconds have passed."""
        if isinstance(item, Scalar):
            self._buffer.append(item)
            if len(self._buffer) >= BUFFER or time.monotonic() - self._sent >= SECONDS:
                self.flush()
        elif isinstance(item, Params):
            self._log_params(item.values)
        elif isinstance(item, Tags):
            for key, value in item.values.items():
                self._client.set_tag(self.run_id, key, value)
        elif isinstance(item, Picture):
            self._log_picture(item)
        elif isinstance(item, Document):
            self._client.log_dict(self.run_id, dict(item.value), item.name)
        else:
            self._client.log_artifact(self.run_id, str(item.path), item.folder or None)

    def flush(self) -> None:
        """Send what waits."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(each.name, each.value, now, each.step) for each in self._buffer if self._is_news(each)]
        for start in range(0, len(metrics), BUFFER):
            self._client.log_batch(self.run_id, metrics=metrics[start : start + BUFFER])
        self._buffer.clear()
        self._sent = time.monotonic()

    def finish(self, status: Status) -> None:
        """Send what waits and close the run."""
        self.flush()
        self._client.set_terminated(self.run_id, status)

    def _is_news(self, item: Scalar) -> bool:
        """Return whether the run's latest word on this step is another: a resumed training repeats some steps."""
        steps = self._steps(item.name)
        is_news = steps.get(item.step) != item.value
        steps[item.step] = item.value
        return is_news

    def _steps(self, name: str) -> dict[int, float]:
        if name not in self._told:
            history = self._client.get_metric_history(self.run_id, name)
            self._told[name] = {each.step: each.value for each in sorted(history, key=lambda each: each.timestamp)}
        return self._told[name]

    def _log_params(self, values: Mapping[str, str]) -> None:
        from mlflow.entities import Param

        known = self._client.get_run(self.run_id).data.params
        short = {key: text for key, text in values.items() if key not in known and 0 < len(text) <= LONGEST_PARAM}
        items = [Param(key, text) for key, text in short.items()]
        for start in range(0, len(items), BUFFER):
            self._client.log_batch(self.run_id, params=items[start : start + BUFFER])

    def _log_picture(self, item: Picture) -> None:
        from PIL import Image

        with Image.open(io.BytesIO(item.path.read_bytes())) as image:
            self._client.log_image(self.run_id, image.convert("RGB"), key=item.name, step=0)
        self._client.log_artifact(self.run_id, str(item.path), "pictures")

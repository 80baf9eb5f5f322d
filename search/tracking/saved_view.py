"""A page of MLflow that shows a study at once: its settings, distances and samples, best trial first.

MLflow keeps a shared view of an experiment as a tag, in a form of its own that it does not document. Whatever becomes
of it, only this page depends on it.
"""

import base64
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from sbldm.files import sha256

TAG = "mlflow.sharedViewState."
SECTION = "ablation"
CELL = "cell"
PICTURES = ("samples", "error")


@dataclass(frozen=True)
class View:
    """What a page shows of a study.

    Attributes:
        study: name of the instance, as its runs are tagged.
        experiment: id of the experiment.
        lead: the tracked distance that orders the trials.
        metrics: other tracked numbers, as columns.
        axes: tracked settings that differ between trials.
        sections: of MLflow's own charts, by the beginnings of numbers' names, which are there to be opened.
    """

    study: str
    experiment: str
    lead: str = "eval/fd_lite0"
    metrics: tuple[str, ...] = ()
    axes: tuple[str, ...] = (CELL, "seed")
    sections: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Return what the page is kept under."""
        return sha256(self.study.encode())[:16]

    @property
    def tag(self) -> str:
        """Return the experiment's tag that holds the page."""
        return TAG + self.key

    def link(self, address: str) -> str:
        """Return where the page is on an MLflow server; one that cannot read it lists all runs."""
        query = {
            "workflowType": "machine_learning",
            "compareRunsMode": "CHART",
            "viewStateShareKey": self.key,  # alone: with an order or a filter beside it MLflow drops the charts
        }
        return f"{address}/#/experiments/{self.experiment}/runs?{urlencode(query, quote_via=quote)}"

    @property
    def filter(self) -> str:
        """Return what finds the study's trials, and nothing else."""
        return f"tags.`sbldm.study` = '{self.study}' and tags.`sbldm.kind` = 'trial'"

    def state(self) -> dict[str, Any]:
        """Return the page as MLflow's own program holds it."""
        columns = [f"params.`{axis}`" for axis in self.axes]
        columns += [f"metrics.`{name}`" for name in (self.lead, f"{self.lead}_low", f"{self.lead}_high", *self.metrics)]
        return {
            "searchFilter": self.filter,
            "orderByKey": f"metrics.`{self.lead}`",
            "orderByAsc": True,
            "startTime": "ALL",
            "lifecycleFilter": "Active",
            "datasetsFilter": [],
            "modelVersionFilter": "All Runs",
            "selectedColumns": columns,
            "columnOrder": [],
            "columnWidths": {},
            "runsHiddenMode": "SHOWALL",
            "runsExpanded": {},
            "runsPinned": [],
            "runsHidden": [],
            "compareRunCharts": list(self._charts()),
            "compareRunSections": [
                _section(SECTION, f"Study {self.study}", is_open=True),
                *(_section(name, name, is_open=False) for name in self.sections),
            ],
            "isAccordionReordered": True,
        }

    def to_tag(self, now: int) -> str:
        """Return the value of the tag, saved at ``now`` milliseconds since 1970."""
        packed = base64.b64encode(zlib.compress(json.dumps(self.state()).encode())).decode()
        value = {"name": f"study {self.study}", "createdAt": now, "updatedAt": now, "state": f"deflate;{packed}"}
        return json.dumps(value)

    def _charts(self) -> Sequence[dict[str, Any]]:
        distance = {"key": self.lead, "type": "METRIC"}
        return (
            _chart("scatter", "SCATTER", xaxis={"key": self.axes[0], "type": "PARAM"}, yaxis=distance),
            _chart("bar", "BAR", metricKey=self.lead),
            _chart(
                "parallel",
                "PARALLEL",
                selectedParams=list(self.axes),
                selectedMetrics=[self.lead, *self.metrics[:2]],
                showAllRuns=True,
            ),
            *(_chart(name, "IMAGE", imageKeys=[name], step=0, showRunParams=False) for name in PICTURES),
        )


def unpack(value: str) -> dict[str, Any]:
    """Return the page that a tag's value holds."""
    packed = json.loads(value)["state"].removeprefix("deflate;")
    state: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(packed)))
    return state


def _chart(name: str, kind: str, **own: Any) -> dict[str, Any]:
    shared = {"uuid": name, "type": kind, "runsCountToCompare": 20, "metricSectionId": SECTION}
    return {**shared, "deleted": False, "isGenerated": False, **own}


def _section(name: str, title: str, *, is_open: bool) -> dict[str, Any]:
    fixed = {"isReordered": True, "deleted": False, "isGenerated": False}
    return {"uuid": name, "name": title, "display": is_open, "columns": 2, "cardHeight": 360, **fixed}

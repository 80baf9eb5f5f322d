"""Photograph MLflow's pages of a study as a headless browser shows them: ``python docs/screenshots.py gamma``.

Needs a Chromium and its driver (Debian: ``apt-get install chromium chromium-driver``) and ``pip install selenium``.
The pictures in this folder are of a small study:
``sbldm search --study gamma --set training.steps=200 --set autoencoder_training.steps=200
--set evaluation.samples=64``.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from search.tracking import MlflowStore, show_study

HERE = Path(__file__).parent
SIZE = 1500, 1400
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--blink-settings=primaryHoverType=2,availableHoverTypes=2",  # as with a mouse: tools appear under it only
)
TIDY = "localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true')"  # its panel stays closed


def photograph(study: str, home: Path, port: int, seconds: float) -> Iterator[Path]:
    """Save the study's page, and the page that compares its best and its worst trial."""
    store = MlflowStore(home, must_exist=True)
    address = f"http://127.0.0.1:{port}"
    pages = {"study": show_study(store, study, address), "compare": link_comparison(store, study, address)}
    with serving(store, address, port), browsing() as browser:
        browser.get(address)
        browser.execute_script(TIDY)
        for name, link in pages.items():
            browser.get("about:blank")
            browser.get(link)
            time.sleep(seconds)
            path = HERE / f"mlflow_{name}.png"
            browser.save_screenshot(str(path))
            shrink(path)
            yield path


def link_comparison(store: MlflowStore, study: str, address: str) -> str:
    """Return the page that holds the trials with the least and the greatest distance side by side."""
    lead = "eval/fd_lite0"
    runs = sorted(
        (run for run in store.runs(study=study, kind="trial") if lead in run.metrics), key=lambda run: run.metrics[lead]
    )
    ids = ",".join(f'"{run.run_id}"' for run in (runs[0], runs[-1]))
    return f'{address}/#/compare-runs?runs=[{ids}]&experiments=["{store.experiment_id}"]'


@contextmanager
def serving(store: MlflowStore, address: str, port: int) -> Iterator[None]:
    """Run ``sbldm ui`` while the block runs."""
    command = [sys.executable, "-m", "cli", "ui", "--mlruns", str(store.home), "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_for(f"{address}/health")
        yield
    finally:
        os.killpg(server.pid, signal.SIGTERM)  # and what it has started
        server.wait()


def wait_for(url: str, seconds: int = 600) -> None:
    """Wait until a server answers."""
    for _ in range(seconds):
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except OSError:
            time.sleep(1)
    raise TimeoutError(f"{url}: no answer within {seconds} seconds")


@contextmanager
def browsing() -> Iterator[Any]:
    """Start a browser that knows nobody, and end it after the block."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    with tempfile.TemporaryDirectory() as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        try:
            browser.set_window_size(*SIZE)
            yield browser
        finally:
            browser.quit()


def shrink(path: Path) -> None:
    """Keep a picture's size small: 256 colors are enough for charts and gray slices."""
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study")
    parser.add_argument("--mlruns", type=Path, default=Path("mlruns"))
    parser.add_argument("--port", type=int, default=5050)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long a page may take to draw")
    given = parser.parse_args()
    for saved in photograph(given.study, given.mlruns, given.port, given.seconds):
        print(saved)

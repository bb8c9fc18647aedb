"""Run folders made for the report, and a browser to open it in."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from report_runs import write_small_run

from simnet.results import Run

WriteRun = Callable[..., Run]


@pytest.fixture
def write_one(tmp_path: Path) -> WriteRun:
    """`write_small_run` into a folder of this test's own."""

    def write(label: str, losses: Sequence[float], **given: Any) -> Run:
        return write_small_run(tmp_path / "results", label, losses, **given)

    return write


@pytest.fixture(scope="session")
def open_page() -> Iterator[Callable[..., Any]]:
    """Opens a file in headless Chromium: ``open_page(path, width, height, phone)`` gives Selenium's driver.

    Tests are skipped where there is no Chromium or no driver for it.
    """
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("needs Chromium and its driver (Debian: chromium, chromium-driver)")
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium (the extra dev)")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "hide-scrollbars"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    found = webdriver.Chrome(options=options, service=Service(driver))

    def open_in(path: Path, width: int = 1280, height: int = 900, phone: bool = False) -> Any:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
        found.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        for log in ("browser", "performance"):
            found.get_log(log)  # what was there before
        found.get(path.resolve().as_uri())
        return found

    yield open_in
    found.quit()

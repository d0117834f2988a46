"""Plugin: what is skipped is said with its reason (`-ra`), and refused on CI."""

import os
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """On CI let whatever is skipped fail with its reason; a failure that is expected is no skip."""
    report = yield
    is_ci = os.environ.get("CI", "").lower() in {"true", "1"}
    if is_ci and report.skipped and not hasattr(report, "wasxfail"):
        _, _, reason = report.longrepr  # type: ignore[misc] # a skip's: file, line, reason
        report.outcome, report.longrepr = "failed", f"CI refuses to skip a test. {reason}"
    return report

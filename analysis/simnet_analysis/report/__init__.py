"""The report: one self-contained page of results that opens from the disk."""

from simnet_analysis.report.build import report_html, write_report

__all__ = ["report_html", "write_report"]

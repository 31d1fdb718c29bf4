"""Comparison: methods through the same episodes, statistics, reports."""

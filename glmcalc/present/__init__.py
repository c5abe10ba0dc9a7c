"""Showing results: terminal, page, report. No arithmetic here."""

"""Draws the dashboards of ``files/dashboards`` with the results of their queries into one HTML page."""

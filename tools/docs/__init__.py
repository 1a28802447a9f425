"""Renders the pages of docs/ and the README from the figures in records/."""

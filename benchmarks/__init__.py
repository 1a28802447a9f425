"""Contests against other libraries, and measurements of this one; see docs/performance.md."""

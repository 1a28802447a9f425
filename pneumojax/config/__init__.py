"""Configs: loading, overrides, checks, names and differences."""

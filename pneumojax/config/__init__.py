"""Everything about a config: loading, overrides, checks, names, differences."""

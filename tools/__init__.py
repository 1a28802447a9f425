"""Programs for maintainers, run as modules from the root of the checkout."""

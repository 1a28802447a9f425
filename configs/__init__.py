"""One file an experiment; base.py has every field."""

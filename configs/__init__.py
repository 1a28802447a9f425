"""One file for each experiment; base.py has every field."""

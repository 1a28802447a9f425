"""The command line: verbs, their flags and help, and what each one runs."""

"""The texts of --help and --version."""

import importlib.metadata
import sys
import textwrap
from pathlib import Path

import pneumojax
from pneumojax.cli.flags import FLAGS
from pneumojax.cli.verbs import VERBS
from pneumojax.shipped import config_names

_CONFIG_TO_USE = (
    (
        "--config=<file>",
        "A Python file that makes a config, or the name of a config that comes with PneumoJAX: "
        f"{', '.join(config_names())}. Default: base.",
    ),
    (
        "--config.<field>=<value>",
        "Change a field. --print_config shows them all, and configs/base.py explains them.",
    ),
)
_CONFIG_OF_THE_RUN = (
    (
        "--config=<file>",
        "The config that the run must have. It also allows the network class that it names.",
    ),
    (
        "--config.<field>=<value>",
        "A value that the run's own config must have. Only evaluate may change fields: those of "
        "config.decision, and config.data.max_cache_gb.",
    ),
)
_EXAMPLES = ("train", "evaluate", "predict")  # verbs
_PACKAGES = ("jax", "flax", "optax", "orbax-checkpoint", "numpy")


def overview() -> str:
    """The help of the program: every verb in a line, and three examples."""
    program, width = _program(), max(map(len, VERBS))
    return "\n".join(
        [
            f"usage: {program} [verb] [flags] [files]",
            "",
            "PneumoJAX reads chest X-rays for pneumonia. Research and education only, not a "
            "medical device.",
            "",
            "verbs:",
            *(f"  {name:{width}}  {verb.summary}" for name, verb in VERBS.items()),
            "",
            "Flags without a verb, such as --config=quick, train. --mode=<verb> works too.",
            f"{program} <verb> --help shows the flags of a verb; --version the versions.",
            "",
            "examples:",
            *(f"  {program} {VERBS[name].examples[0]}" for name in _EXAMPLES),
        ]
    )


def help_of(name: str) -> str:
    """The help of one verb: only its flags, and examples."""
    verb, program = VERBS[name], _program()
    parts = [f"usage: {program} {name} [flags]"]
    if verb.makes_config:
        parts.append("[--config=<file>] [--config.<field>=<value> ...]")
    if verb.arguments:
        parts.append(verb.arguments)
    lines = [" ".join(parts), "", *textwrap.wrap(verb.help, 100), "", "flags:"]
    if verb.takes_config:
        for shown, text in _CONFIG_TO_USE if verb.makes_config else _CONFIG_OF_THE_RUN:
            lines += _entry(shown, text)
    for flag in (FLAGS[name] for name in verb.flags):
        text = flag.help
        if flag.choices:
            text += f" One of {', '.join(flag.choices)}."
        if flag.default:
            text += f" Default: {flag.default}."
        lines += _entry(f"--{flag.name}={flag.value}" if flag.value else f"--{flag.name}", text)
    return "\n".join([*lines, "", "examples:", *(f"  {program} {e}" for e in verb.examples)])


def version() -> str:
    """The program's version, and those of the packages that its results depend on."""
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES)
    return f"PneumoJAX {pneumojax.__version__} ({packages})"


def _program() -> str:
    """The command that started this process: main.py of a checkout, or the installed one."""
    return "python main.py" if Path(sys.argv[0]).name == "main.py" else "pneumojax"


def _entry(flag: str, text: str) -> list[str]:
    return [
        f"  {flag}",
        *textwrap.wrap(text, 92, initial_indent=" " * 6, subsequent_indent=" " * 6),
    ]

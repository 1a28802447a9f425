"""The package that tuning needs and the rest of PneumoJAX does not."""

from pneumojax.errors import UserError


def need_optuna() -> None:
    """Raises UserError if Optuna is not installed."""
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"tune needs the package {error.name!r}: install requirements-tune.txt, or the extra "
            "[tune]"
        ) from error

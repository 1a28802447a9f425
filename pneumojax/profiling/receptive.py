"""How much of a film each place of a feature map can see, read off a traced program.

Along each axis, place i of an array sees the film from `step * i + low` to `step * i + high`.
Convolutions, pools, paddings and slices change that; sums and concatenations take the widest.
"""

from typing import Any, NamedTuple

from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

Axis = tuple[float, float, float]  # step, low, high; in pixels


class View(NamedTuple):
    """What places of an array see, down and right; None: the whole film, or none of it."""

    rows: Axis
    columns: Axis

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width that a place of a bounded view sees, pixels."""
        height, width = (round(high - low) + 1 for _, low, high in self)
        return height, width

    @property
    def bounded(self) -> bool:
        """Whether a place sees less than everything."""
        return max(high for _, _, high in self) < float("inf")


WHOLE = View((1.0, 0.0, float("inf")), (1.0, 0.0, float("inf")))


def views(
    jaxpr: Jaxpr, inputs: list[View | None], named: dict[str, View | None] | None = None
) -> list[View | None]:
    """What each result of a program sees of the film, given what each input does.

    Args:
        named: takes what the arrays see that `jax.ad_checkpoint.checkpoint_name` gave a name.
    """
    seen: dict[Any, View | None] = dict(zip(jaxpr.invars, inputs, strict=True))

    def of(atom: Any) -> View | None:
        return None if isinstance(atom, Literal) else seen.get(atom)

    for equation in jaxpr.eqns:
        known = [of(atom) for atom in equation.invars]
        name = equation.primitive.name
        if inner := _inner(equation):
            # Of several programs, one for each platform, all see the same.
            program = inner[-1]
            results = views(program, known[len(known) - len(program.invars) :], named)
        elif name == "conv_general_dilated":
            results = [_windowed(known[0], *_convolution(equation))]
        elif name.startswith("reduce_window"):
            results = [_windowed(known[0], *_pool(equation))]
        elif name == "pad":
            results = [_padded(known[0], equation.params["padding_config"])]
        elif name == "slice":
            results = [_sliced(known[0], equation.params)] * len(equation.outvars)
        elif _keeps_places(equation):
            results = [_widest([view for view in known if view is not None])] * len(
                equation.outvars
            )
        else:  # means, dense layers: from here on a value sees the whole film
            whole = WHOLE if any(view is not None for view in known) else None
            results = [whole] * len(equation.outvars)
        if name == "name" and named is not None:
            named[equation.params["name"]] = results[0]
        seen |= dict(zip(equation.outvars, results, strict=True))
    return [of(atom) for atom in jaxpr.outvars]


def _inner(equation: Any) -> list[Jaxpr]:
    found = []
    for value in equation.params.values():
        for item in value if isinstance(value, list | tuple) else (value,):
            if isinstance(item, ClosedJaxpr):
                found.append(item.jaxpr)
            elif isinstance(item, Jaxpr):
                found.append(item)
    return [program for program in found if len(program.outvars) == len(equation.outvars)]


def _convolution(equation: Any) -> tuple[list[int], list[int], list[int]]:
    """Window, strides and padding before, along rows and columns; films and filters undilated."""
    spec = equation.params["dimension_numbers"].rhs_spec
    shape = equation.invars[1].aval.shape
    window = [shape[axis] for axis in spec[2:]]
    padding = [before for before, _ in equation.params["padding"]]
    return window, list(equation.params["window_strides"]), padding


def _pool(equation: Any) -> tuple[list[int], list[int], list[int]]:
    """The same of a pool over (batch, rows, columns, channels)."""
    params = equation.params
    return (
        list(params["window_dimensions"][1:3]),
        list(params["window_strides"][1:3]),
        [before for before, _ in params["padding"][1:3]],
    )


def _windowed(
    view: View | None, window: list[int], strides: list[int], padding: list[int]
) -> View | None:
    if view is None:
        return None
    axes = []
    for axis, size, stride, before in zip(view, window, strides, padding, strict=True):
        step, low, high = axis
        axes.append((step * stride, low - step * before, high + step * (size - 1 - before)))
    return View(*axes)


def _padded(view: View | None, config: Any) -> View | None:
    if view is None:
        return None
    axes = []
    for (step, low, high), (before, _, between) in zip(view, config[1:3], strict=True):
        step /= between + 1
        axes.append((step, low - step * before, high - step * before))
    return View(*axes)


def _sliced(view: View | None, params: Any) -> View | None:
    if view is None:
        return None
    strides = params["strides"] or (1,) * len(params["start_indices"])
    axes = []
    for (step, low, high), start, stride in zip(
        view, params["start_indices"][1:3], strides[1:3], strict=True
    ):
        axes.append((step * stride, low + step * start, high + step * start))
    return View(*axes)


def _keeps_places(equation: Any) -> bool:
    """Whether rows and columns of the results are those of the inputs that have any."""
    (result, *_) = (atom.aval for atom in equation.outvars)
    if len(result.shape) != 4 or equation.primitive.name in ("dot_general", "transpose"):
        return False
    shapes = [atom.aval.shape for atom in equation.invars if len(atom.aval.shape) == 4]
    return all(shape[1:3] in (result.shape[1:3], (1, 1)) for shape in shapes)


def _widest(found: list[View]) -> View | None:
    if not found:
        return None
    axes = []
    for pairs in zip(*found, strict=True):
        steps = {step for step, _, _ in pairs}
        axes.append((max(steps), min(low for _, low, _ in pairs), max(h for _, _, h in pairs)))
    return View(*axes)

"""The settings that determine a film's pixels, and the resizing."""

from dataclasses import asdict, dataclass

from PIL import Image

RESIZES = ("bilinear_antialias", "bilinear", "nearest")
Box = tuple[float, float, float, float]  # left, upper, right, lower, in pixels


@dataclass(frozen=True)
class Preprocessing:
    """The settings that determine the network's input pixels. Every checkpoint stores them.

    Raises ValueError if a field is out of range.
    """

    image_size: int = 150  # side of the square that the network sees, pixels
    resize: str = "bilinear_antialias"  # or "bilinear" (two taps) or "nearest"
    # Lets the JPEG decoder halve a film up to three times while no side falls below `image_size`;
    # the filter does the rest. It has no effect on "bilinear" and "nearest", which are defined by
    # pixels of the whole film. The default is that of checkpoints that do not store the field.
    reduced_decode: bool = False

    def __post_init__(self) -> None:
        if type(self.image_size) is not int or self.image_size < 1:
            raise ValueError(f"image_size is {self.image_size!r}, not a positive whole number")
        if self.resize not in RESIZES:
            raise ValueError(f"resize is {self.resize!r}, not one of {RESIZES}")

    def as_dict(self) -> dict[str, int | str]:
        """The fields by name, for JSON; `Preprocessing(**d)` reads them back."""
        return asdict(self)


def resize_film(
    grey: Image.Image, preprocessing: Preprocessing, box: Box | None = None
) -> Image.Image:
    """Resizes a film of one channel, or its rectangle `box`, to the network's square."""
    size = (preprocessing.image_size, preprocessing.image_size)
    if preprocessing.resize == "nearest":
        return grey.resize(size, Image.Resampling.NEAREST)
    if preprocessing.resize == "bilinear_antialias":  # Pillow widens the filter to shrink
        return grey.resize(size, Image.Resampling.BILINEAR, box)
    scale = (grey.width / size[0], 0, 0, 0, grey.height / size[1], 0)
    return grey.transform(size, Image.Transform.AFFINE, scale, Image.Resampling.BILINEAR)

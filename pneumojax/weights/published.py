"""Keras's published weights of Inception-v3, downloaded only if the user asks for it."""

import hashlib
import urllib.request
from http.client import HTTPException
from pathlib import Path

from pneumojax.errors import UserError
from pneumojax.files import replacing
from pneumojax.terminal import say

NAME = "imagenet"  # the value of config.start.weights that stands for them
URL = (
    "https://storage.googleapis.com/tensorflow/keras-applications/inception_v3/"
    "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"
)
MD5 = "bcbd6486424b2319ff4ef7d526e38f63"
TORCHVISION_URL = "https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth"
WHERE = (
    f"Keras's are at {URL}; torchvision's at {TORCHVISION_URL}, to be converted to .safetensors "
    "as docs/inception_v3.md says. Pass the path of the file: --config.start.weights=<path>"
)


def published_weights(cache_dir: Path, download: bool) -> Path:
    """The file of Keras's weights without their head, 88 MB, in the folder "weights" of the cache.

    With `download` it is fetched if it is missing or damaged; otherwise that raises UserError.
    """
    path = cache_dir / "weights" / URL.rpartition("/")[2]
    if path.is_file() and _is_right(path.read_bytes()):
        return path
    if not download:
        raise UserError(
            f"config.start.weights is {NAME!r}, and {str(path)!r} is not there or is damaged: "
            f"--download fetches it (88 MB). {WHERE}"
        )
    say(f"downloading {URL} (88 MB)")
    try:
        with urllib.request.urlopen(URL, timeout=60) as response:
            data = response.read()
    except (OSError, HTTPException) as error:
        raise UserError(f"Keras's weights could not be fetched: {error}. {WHERE}") from error
    if not _is_right(data):
        raise UserError(f"Keras's weights could not be fetched: their hash is not {MD5}. {WHERE}")
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return path


def _is_right(data: bytes) -> bool:
    return hashlib.md5(data).hexdigest() == MD5

"""Keras's published weights of Inception-v3, fetched where a user asks for it."""

import hashlib
from pathlib import Path

from pneumojax.errors import UserError
from pneumojax.weights.keras_files import keras_module

NAME = "imagenet"  # config.start.weights
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
    """The file of Keras's weights without their head, 88 MB, in the cache's folder "weights".

    Args:
        cache_dir: absolute.
        download: whether it may be fetched where it is not there, or is not what it should be.

    Raises:
        UserError: it may not be fetched, or cannot be, or what came has another hash.
    """
    path = cache_dir / "weights" / URL.rpartition("/")[2]
    if path.is_file() and hashlib.md5(path.read_bytes()).hexdigest() == MD5:
        return path
    if not download:
        raise UserError(
            f"config.start.weights is {NAME!r}, and {str(path)!r} is not there or is damaged: "
            f"--download fetches it (88 MB). {WHERE}"
        )
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)  # Keras goes elsewhere where it is not there
        fetched = keras_module().utils.get_file(
            path.name, URL, file_hash=MD5, cache_dir=str(cache_dir), cache_subdir="weights"
        )
    except Exception as error:  # of the network, or a hash that differs: a plain Exception
        path.unlink(missing_ok=True)
        raise UserError(f"Keras's weights could not be fetched: {error}. {WHERE}") from error
    return Path(fetched)

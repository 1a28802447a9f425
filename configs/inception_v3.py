"""Inception-v3 with its auxiliary head, from published weights or from nothing.

Command:   python main.py --config=configs/inception_v3.py
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """`configs/base.py` with Inception-v3 at 299 pixels."""
    config = base.get_config()
    config.name = "inception_v3"
    config.batch_size = 16
    config.data.image_size = 299
    config.data.normalise = "symmetric"  # what its published weights were trained on
    config.model = model = ConfigDict()
    model.network = "pneumojax.nn.inception_v3:InceptionV3"
    model.channels = 3
    model.classes = 1
    model.stem = (32, 32, 64, 80, 192)  # widths of its five convolutions
    model.pools35 = (32, 64, 64)  # width behind the pool of each module on the 35 x 35 grid
    model.widths17 = (128, 160, 160, 192)  # of each module on the 17 x 17 grid
    model.modules8 = 2  # on the 8 x 8 grid
    model.heads = ("main", "auxiliary")
    model.activation = "relu"
    model.norm_scale = False  # True for weights from torchvision
    model.pool_counts_padding = False  # True for weights from torchvision
    model.dropout = 0.2
    model.dtype = "float32"
    return config

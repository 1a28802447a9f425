"""The reference recipe in half the time: fewer epochs, most of them on small films.

Command:   python main.py --config=configs/fast.py
Films:     python main.py --config=configs/fast.py --config.data.root=<folder with train/>
"""

from ml_collections import ConfigDict

from pneumojax.configs import reference


def get_config() -> ConfigDict:
    """`configs/reference.py` with 24 epochs, of which the first 16 have films of 64 pixels."""
    config = reference.get_config()
    config.name = "fast"
    config.epochs = 24
    config.augment.early_epochs = 16
    config.augment.early_size = 64
    return config

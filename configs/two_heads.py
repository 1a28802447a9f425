"""The network that the original's title promises: main and auxiliary head, loss main + 0.4 aux.

Command:   python main.py --config=configs/two_heads.py
The main head predicts; the auxiliary one (Szegedy et al. 2014, arXiv 1409.4842, section 5) only
adds its gradient. 1,217,514 parameters.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """`configs/base.py` with both heads."""
    config = base.get_config()
    config.name = "two_heads"
    config.model.heads = ("main", "auxiliary")
    return config

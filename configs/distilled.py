"""A small network: the first grid of Inception-v3, from published weights, taught by larger ones.

Command:   python main.py --config=configs/distilled.py --config.start.weights=<file> \\
               --config.distill.teachers=<run>,<run>
Films:     --config.data.root=<folder with train/>
MEASURED
The network has 989,344 values with its running statistics: the stem and the three modules of the
first grid. Without --config.distill.teachers it is trained on the labels alone. The teachers must
have held out the same patients.
"""

from ml_collections import ConfigDict

from pneumojax.configs import inception_v3


def get_config() -> ConfigDict:
    """`configs/inception_v3.py` without its second and third grid, for twice as many epochs."""
    config = inception_v3.get_config()
    config.name = "distilled"
    config.epochs = 12
    config.model.widths17 = ()
    config.model.modules8 = 0
    config.finetune.backbone_rate = 0.3
    return config

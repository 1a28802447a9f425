"""A small network: the start of Inception-v3, from published weights, taught by other networks.

Command:   python main.py --config=configs/distilled.py --config.start.weights=<file> \\
               --config.distill.teachers=<run>,<run>
Films:     --config.data.root=<folder with train/>
Measured:  records/reference/shift.json, on 2 cores of an AMD EPYC with AVX2 beside other work, with
           521 films of held-out patients. On the labels alone 47 minutes, AUROC 0.996 (0.992 to
           0.999), specificity 0.970 (0.926 to 0.988) at the threshold for 95 % sensitivity. With
           three teachers 82 minutes and AUROC 0.994 (0.990 to 0.998): teaching did not help. On
           101 films of adults of another hospital AUROC 0.752 among AP and 0.758 among PA films,
           with teachers 0.757 and 0.767.
The network has 989,344 values with its running statistics: the stem and the first three
modules. Without --config.distill.teachers it is trained on the labels alone. The network so
trained is one of the two of models/reference. Teachers must have held out the same patients.
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

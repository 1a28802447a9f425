"""The network that the original's title promises: main and auxiliary head, loss main + 0.4 aux.

Command:   python main.py --config=configs/two_heads.py
Films:     python main.py --config=configs/two_heads.py --config.data.root=<folder with train/>
Measured:  docs/results/two_heads_real.json, 5,216 Kermany training films on 2 cores of an AMD EPYC,
           25 minutes beside other work: training accuracy 0.740, 0.739, 0.786, 0.864, 0.869; best
           epoch 4, validation of 521 films: sensitivity 0.938 (0.909 to 0.958), specificity 0.851
           (0.781 to 0.901), AUROC 0.957 (0.940 to 0.974). One seed. It starts slower than the
           auxiliary head alone.
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

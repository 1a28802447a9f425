"""A main and an auxiliary head, with the loss main + 0.4 auxiliary.

Command:   python main.py --config=configs/two_heads.py
Films:     python main.py --config=configs/two_heads.py --config.data.root=<folder with train/>
Measured:  records/results/two_heads_real.json, 5,216 Kermany training films on 2 cores of an AMD
           EPYC, 22 minutes beside other work: training accuracy 0.740, 0.743, 0.833, 0.862, 0.873;
           best epoch 5, validation of 521 films: sensitivity 0.894 (0.859 to 0.921), specificity
           0.970 (0.926 to 0.988), AUROC 0.966 (0.952 to 0.980), called at the threshold fitted
           there; 0.904 and 0.933 at 0.5. One seed. It starts slower than the auxiliary head alone.
The main head predicts; the auxiliary head (Szegedy et al. 2014, arXiv 1409.4842, section 5) only
adds its gradient. 1,217,514 parameters.
"""

from ml_collections import ConfigDict

from pneumojax.configs import base


def get_config() -> ConfigDict:
    """`configs/base.py` with both heads."""
    config = base.get_config()
    config.name = "two_heads"
    config.model.heads = ("main", "auxiliary")
    return config

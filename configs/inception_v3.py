"""Inception-v3 with its auxiliary head, fine-tuned from published weights.

Command:   python main.py --config=configs/inception_v3.py --download
Own file:  python main.py --config=configs/inception_v3.py --config.start.weights=<file>
Films:     --config.data.root=<folder with train/>
From nothing: --config.start.weights= --config.finetune.frozen_epochs=0
           --config.finetune.unfreeze_from= --config.finetune.backbone_rate=1.0
           --config.finetune.freeze_statistics=False
The heads are trained for one epoch, and then the last three modules too, at a tenth of the rate.
docs/inception_v3.md says which weights fit and what the fields do. The published weights were not
available when this was written: the values are customary and have not been measured.
"""

from ml_collections import ConfigDict

from pneumojax.configs import base


def get_config() -> ConfigDict:
    """`configs/base.py` with Inception-v3 at 299 pixels, beginning from Keras's weights."""
    config = base.get_config()
    config.name = "inception_v3"
    config.epochs = 6
    config.batch_size = 16
    config.data.image_size = 299
    config.data.normalise = "symmetric"  # as for its published weights
    config.augment.crop_area = (0.5, 1.0)
    config.augment.crop_aspect = (0.75, 1.333)
    config.augment.flip = 0.5
    config.augment.brightness = 0.1
    config.augment.contrast = 0.5
    config.augment.gamma = 0.4
    config.model = model = ConfigDict()
    model.network = "pneumojax.nn.inception_v3:InceptionV3"
    model.channels = 3
    model.classes = 1
    model.stem = (32, 32, 64, 80, 192)  # widths of its five convolutions
    model.pools35 = (32, 64, 64)  # width after the pool in each module on the 35 x 35 grid
    model.widths17 = (128, 160, 160, 192)  # width in each module on the 17 x 17 grid
    model.modules8 = 2  # number of modules on the 8 x 8 grid
    model.heads = ("main", "auxiliary")
    model.activation = "relu"
    model.norm_scale = False  # True for weights from torchvision
    model.pool_counts_padding = False  # True for weights from torchvision
    model.dropout = 0.2
    model.dtype = "float32"
    config.loss.label_smoothing = 0.05
    config.loss.class_weights = True
    config.optimizer.schedule = "cosine"
    config.optimizer.weight_decay = 0.05
    config.start.weights = "imagenet"
    config.finetune.frozen_epochs = 1
    config.finetune.unfreeze_from = "modules/8"  # the second reduction
    config.finetune.backbone_rate = 0.1
    config.finetune.freeze_statistics = True  # statistics of 16 films would be noisy
    config.checkpoint.best_metric = "auroc"
    return config

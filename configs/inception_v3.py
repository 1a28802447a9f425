"""Inception-v3, fine-tuned from published weights at 192 pixels.

Command:   python main.py --config=configs/inception_v3.py --download
Own file:  python main.py --config=configs/inception_v3.py --config.start.weights=<file>
Films:     --config.data.root=<folder with train/>
Random weights: --config.start.weights= --config.finetune.frozen_epochs=0
           --config.finetune.backbone_rate=1.0
Hardware:  2 cores of an AMD EPYC with AVX2, no GPU, 12 GB of memory.
Time:      71 minutes beside other work for 6 epochs of 4,695 films, with its evaluation.
Result:    on 521 films of held-out patients AUROC 0.994 (0.989 to 0.999), and specificity
           0.963 (0.916 to 0.984) at the threshold for 95 % sensitivity; on 101 films of adults of
           another hospital AUROC 0.703 (0.498 to 0.908) among AP and 0.731 (0.592 to 0.871) among
           PA films.
The figures are of seed 0 and of ImageNet weights that had been rounded to 8 bits. One epoch trains
the head alone, and then everything is trained, the backbone at a tenth of the rate. The auxiliary
head is left out; `--config.model.heads=main,auxiliary` adds it. docs/inception_v3.md says which
weights fit, what the fields do and what else was tried.
"""

from ml_collections import ConfigDict

from pneumojax.configs import base


def get_config() -> ConfigDict:
    """`configs/base.py` with Inception-v3 at 192 pixels, beginning from Keras's weights."""
    config = base.get_config()
    config.name = "inception_v3"
    config.epochs = 6
    config.batch_size = 32
    config.data.image_size = 192
    config.data.normalise = "symmetric"  # as for its published weights
    config.augment.size = 160
    config.augment.crop_area = (0.5, 1.0)
    config.augment.crop_aspect = (0.75, 1.333)
    config.augment.flip = 0.5
    config.augment.rotation = 10.0
    config.augment.brightness = 0.1
    config.augment.contrast = 0.5
    config.augment.gamma = 0.4
    # Appearance that tells the machine and not the lung: sharpness, noise, resolution, compression.
    config.augment.probability = 0.6
    config.augment.blur = 1.5
    config.augment.sharpen = 1.5
    config.augment.noise = 0.05
    config.augment.downscale = 0.4
    config.augment.jpeg = 0.7
    config.augment.erase = 0.3
    config.model = model = ConfigDict()
    model.network = "pneumojax.nn.inception_v3:InceptionV3"
    model.channels = 3
    model.classes = 1
    model.stem = (32, 32, 64, 80, 192)  # widths of its five convolutions
    model.pools35 = (32, 64, 64)  # width after the pool in each module on the 35 x 35 grid
    model.widths17 = (128, 160, 160, 192)  # width in each module on the 17 x 17 grid
    model.modules8 = 2  # number of modules on the 8 x 8 grid
    model.heads = ("main",)
    model.activation = "relu"
    model.norm_scale = False  # True for weights from torchvision
    model.pool_counts_padding = False  # True for weights from torchvision
    model.dropout = 0.2
    model.dtype = "float32"
    config.loss.label_smoothing = 0.05
    config.loss.class_weights = True
    config.optimizer.schedule = "cosine"
    config.optimizer.weight_decay = 0.05
    config.optimizer.clip_norm = 1.0
    config.start.weights = "imagenet"
    config.finetune.frozen_epochs = 1
    config.finetune.unfreeze_from = ""  # all of it
    config.finetune.backbone_rate = 0.1
    config.finetune.freeze_statistics = False  # films differ from photographs
    config.average.decay = 0.99
    config.checkpoint.every_steps = 0  # an epoch takes four minutes
    config.checkpoint.best_metric = "last"
    config.decision.rule = "sensitivity"
    config.decision.min_sensitivity = 0.95
    return config

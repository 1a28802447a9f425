"""Where the search for the reference recipe began; `search_plan.json` changes it trial by trial.

Command:   python benchmarks/trials.py docs/reference/search_plan.json \\
               --films=<folder with train/> --out=<folder for the runs>
322,849 values, running statistics of batch norm among them. What came of it is
`configs/reference.py`.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """`configs/base.py` with a deeper, normalised network and strong augmentation."""
    config = base.get_config()
    config.name = "draft"
    config.epochs = 24
    config.microbatch_size = 16  # ghost batches: noisier, and on a CPU much faster than all 64
    config.data.image_size = 150
    config.data.normalise = "film"
    config.augment.size = 128
    config.augment.crop_area = (0.2, 1.0)
    config.augment.crop_aspect = (0.75, 1.333)
    config.augment.rotation = 10.0
    config.augment.flip = 0.5
    config.augment.brightness = 0.1
    config.augment.contrast = 0.5
    config.augment.gamma = 0.4
    config.augment.blur = 1.5
    config.augment.sharpen = 1.5
    config.augment.noise = 0.05
    config.augment.downscale = 0.4
    config.augment.jpeg = 0.7
    config.augment.probability = 0.3
    config.augment.erase = 0.3
    config.model.channels = 1
    config.model.stem = (16, 16, 32)
    config.model.modules = (
        (32, 24, 48, 8, 16, 16),
        (48, 32, 64, 12, 24, 24),
        (64, 48, 96, 16, 32, 32),
        (96, 64, 128, 24, 48, 48),
    )
    config.model.pools = (1, 3)
    config.model.norm = "batch"
    config.model.heads = ("main",)
    config.model.dropout = 0.3
    config.loss.label_smoothing = 0.05
    config.loss.class_weights = True
    config.optimizer.learning_rate = 2e-3
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_epochs = 1.0
    config.optimizer.weight_decay = 0.05
    config.optimizer.clip_norm = 1.0
    config.average.decay = 0.99
    config.checkpoint.best_metric = "last"
    return config

"""The seed experiment: the auxiliary output of a small Inception, five epochs, no remedies.

Command:   python main.py --config=configs/base.py
Films:     python main.py --config=configs/base.py --config.data.root=<folder with train/>
Measured:  records/results/base_synthetic.json, embedded films on 2 cores of an AMD EPYC beside
           other work: 3:47 from nothing to evaluated; validation of 65 films: sensitivity 1.000 (0.916
           to 1.000), specificity 1.000 (0.857 to 1.000).
           records/results/base_real.json, 5,216 Kermany training films on 2 cores of an AMD EPYC,
           13 minutes beside other work (1.3 s a step where it has the machine for itself): training
           accuracy 0.796, 0.926, 0.943, 0.950, 0.957; best epoch 5, validation of 521 films:
           sensitivity 0.964 (0.940 to 0.978), specificity 0.985 (0.947 to 0.996), AUROC 0.994
           (0.990 to 0.998), called at the threshold fitted there. One seed; at 0.5 epoch 2 stood
           at 0.982 and 0.784.
Every field of the project stands here; the other configs start from this one and change a few.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """All fields with the seed experiment's values. Nothing here is derived from anything else."""
    config = ConfigDict()
    config.name = "base"  # first part of the default run folder's name
    config.seed = 0  # initial weights, order of films, dropout
    config.epochs = 5  # passes over the training films
    config.batch_size = 64  # films a step, over all devices together
    # Films through the network at a time on each device, their gradients added up: the same step
    # in less memory. 0 chooses: 4 on a CPU, where it is also faster, all at once elsewhere. Batch
    # norm normalises over them: with it 0 is all at once everywhere.
    config.microbatch_size = 0
    # Which films' means and variances batch norm takes in training: those on all devices, the same
    # numbers for any count of them, or "device": each its own, without waiting for the others.
    config.statistics_over = "devices"

    config.data = data = ConfigDict()
    data.root = "synthetic"  # "synthetic", "pneumonia_mnist", or a folder {train,val,test}/{class}
    data.val = "patients"  # validation: "patients" carved from train, "folder" as shipped in val/
    data.val_fraction = 0.1  # share of each class's films carved; 0 trains on all: best = last
    # Or one of k equal folds of patients in its place; `--mode=crossvalidate` trains all of them.
    data.folds = 0  # k; 0: val_fraction says how many
    data.fold = 0  # which of them is validation
    data.split_seed = 0  # which patients are carved; apart from `seed`, to compare seeds
    data.image_size = 150  # pixels, height and width
    data.resize = "bilinear_antialias"  # or "bilinear", "nearest" (the original's)
    # Lets the JPEG decoder halve films far larger than image_size itself; bilinear_antialias only.
    data.reduced_decode = True
    # 10^9 bytes that a split's decoded films may take; more are streamed from TFDS shards, slower
    # and with the same numbers. 0 chooses: half of the memory, and 9/10 of the disk's free room.
    data.max_cache_gb = 0.0
    data.max_rejected_fraction = 0.01  # share of unreadable films above which a run stops
    data.normalise = "unit"  # [0, 1], or "film": each film to mean 0 and standard deviation 1
    # An epoch has all films of the rarer class and as many of the other, others each time.
    data.balanced = False

    config.augment = augment = ConfigDict()
    # Random changes of training films, drawn anew for each film and epoch; all off.
    augment.size = 0  # pixels of films in training; 0: data.image_size, which evaluation sees
    augment.crop_area = (1.0, 1.0)  # share of the film that a random crop takes, uniform
    augment.crop_aspect = (1.0, 1.0)  # the crop's width to height, log-uniform
    augment.rotation = 0.0  # degrees, uniform in +-
    augment.shift = 0.0  # share of the side, uniform in +-, in either direction
    augment.flip = 0.0  # probability of a mirror image; heart and stomach change sides in it
    augment.brightness = 0.0  # share of the grey range added, uniform in +-
    augment.contrast = 0.0  # factor about the film's mean, log-uniform from 1/(1+x) to 1+x
    augment.gamma = 0.0  # exponent of grey levels, log-uniform from 1/(1+x) to 1+x
    augment.blur = 0.0  # largest sigma of a Gaussian, pixels, uniform from 0
    augment.sharpen = 0.0  # largest amount of an unsharp mask, uniform from 0
    augment.noise = 0.0  # largest standard deviation, share of the grey range, uniform from 0
    augment.downscale = 1.0  # smallest factor of shrinking and enlarging again, uniform up to 1
    augment.jpeg = 0.0  # coarsest 8x8 cosine steps, 1 is as at quality 10, uniform from 0
    augment.probability = 1.0  # of each of blur, sharpen, noise, downscale, jpeg, film by film
    augment.erase = 0.0  # probability that a rectangle is replaced by the film's mean grey
    augment.mixup = 0.0  # alpha of the share that another film is mixed in by; 0: none

    # The network's class, and its arguments by name; a class of yours is "your_file:YourClass".
    config.model = model = ConfigDict()
    model.network = "pneumojax.nn.inception:Inception"
    model.channels = 3  # channels the first layer takes; the grey film is repeated
    model.stem = (32, 32, 64)  # widths of the stem's three convolutions
    model.modules = (  # widths of each Inception module: f1, f2_in, f2_out, f3_in, f3_out, f4
        (64, 48, 64, 8, 16, 32),
        (128, 64, 96, 16, 32, 64),
    )
    model.pools = ()  # modules, from 0, before which a 3x3 max pool of stride 2 halves the grid
    model.norm = "none"  # behind each convolution: "none" (a bias) or "batch"
    model.activation = "relu"  # behind each convolution: "relu", "silu" or "gelu"
    model.heads = ("auxiliary",)  # "main" and/or "auxiliary"; main predicts where it is built
    model.auxiliary_after = (-1,)  # modules, from 0, behind which auxiliary heads sit; -1: the last
    model.dropout = 0.5  # share of hidden units dropped in each head in training
    model.dtype = "float32"  # or "bfloat16": compute only, parameters and logits stay float32

    config.loss = loss = ConfigDict()
    loss.auxiliary_weights = (0.4,)  # w in main + w x auxiliary, of each auxiliary head beside it
    loss.label_smoothing = 0.0  # labels move by half of it towards one half
    loss.class_weights = False  # weigh films so that both classes count the same
    loss.focal_gamma = 0.0  # exponent by which easy films count less; 2 in its paper

    config.optimizer = optimizer = ConfigDict()
    optimizer.learning_rate = 1e-3  # Adam's, or its peak
    optimizer.schedule = "constant"  # or "cosine", down to 0 at the last step
    optimizer.warmup_epochs = 0.0  # over which the rate rises in a line
    optimizer.weight_decay = 0.0  # of kernels, apart from the gradient (AdamW)
    optimizer.clip_norm = 0.0  # longest gradient; longer ones are shortened to it; 0: any
    optimizer.b1 = 0.9  # decay of the first moment
    optimizer.b2 = 0.999  # decay of the second moment
    optimizer.epsilon = 1e-7  # Keras's value in Optax's place, after the bias correction

    config.start = start = ConfigDict()
    # Weights to begin from, where shapes fit: a run folder, Keras's Inception-v3 (.keras,
    # .weights.h5, .h5) or torchvision's (.safetensors); "imagenet": Keras's published ones, which
    # --download fetches; "": config.seed's own.
    start.weights = ""

    config.finetune = finetune = ConfigDict()
    finetune.frozen_epochs = 0  # in which the heads alone are trained
    # After them everything from this stage on is: "stem1", "modules/4", ...; "": the whole network.
    finetune.unfreeze_from = ""
    finetune.backbone_rate = 1.0  # learning rate of all but the heads, as a factor
    finetune.freeze_statistics = False  # batch norm goes by its running statistics in training too

    config.average = average = ConfigDict()
    # Of an exponential moving average of the weights from step to step, which is then what is
    # evaluated and kept as best; 0: none.
    average.decay = 0.0

    config.early_stopping = early_stopping = ConfigDict()
    # Epochs without a better checkpoint.best_metric after which training ends; 0: never.
    early_stopping.patience = 0

    config.test_time = test_time = ConfigDict()
    # Views of a film whose logits are averaged with its own: "flip" (mirrored), "zoom" (its middle
    # enlarged). Each costs another pass.
    test_time.views = ()

    config.checkpoint = checkpoint = ConfigDict()
    checkpoint.every_steps = 25  # besides the end of each epoch; 0: only there
    # Of validation, lowest; or "auroc", highest, which does not see where a call at 0.5 falls; or
    # "last": the last epoch is the best, whatever validation says.
    checkpoint.best_metric = "loss"

    config.decision = decision = ConfigDict()  # fitted on validation, kept in the checkpoint
    # From which probability a film is called PNEUMONIA: "youden" (most sensitivity + specificity),
    # "sensitivity" (highest threshold that reaches min_sensitivity) or "cost" (lowest cost_ratio x
    # missed + false alarms).
    decision.rule = "youden"
    decision.min_sensitivity = 0.95  # of "sensitivity" alone
    decision.cost_ratio = 1.0  # of "cost" alone: what a missed pneumonia costs in false alarms
    decision.temperature = True  # divide logits by the number that calibrates them

    config.log = log = ConfigDict()
    log.every_steps = 1  # lines in metrics.jsonl and TensorBoard
    log.tensorboard = True  # event files beside metrics.jsonl
    return config

"""The Keras experiment: the auxiliary output of a small Inception, trained for five epochs.

Command:   python main.py --config=configs/base.py
Films:     python main.py --config=configs/base.py --config.data.root=<folder with train/>
Measured:  records/results/base_synthetic.json, embedded films on 2 cores of an AMD EPYC beside
           other work: trained and evaluated in 3:47; validation of 65 films: sensitivity 1.000
           (0.916 to 1.000), specificity 1.000 (0.857 to 1.000).
           records/results/base_real.json, 5,216 Kermany training films on 2 cores of an AMD EPYC,
           13 minutes beside other work (1.3 s a step with the machine to itself): training
           accuracy 0.796, 0.926, 0.943, 0.950, 0.957; best epoch 5, validation of 521 films:
           sensitivity 0.964 (0.940 to 0.978), specificity 0.985 (0.947 to 0.996), AUROC 0.994
           (0.990 to 0.998), called at the threshold fitted there. One seed. At a threshold of
           0.5 they vary by epoch: 0.982 and 0.784 after epoch 2.
This file has every field of the project; the other configs start from it and change a few.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """All fields with the values of the Keras experiment. No value is derived from another."""
    config = ConfigDict()
    config.name = "base"  # the first part of the default run folder's name
    config.seed = 0  # for initial weights, order of films, augmentation and dropout
    config.epochs = 5  # passes over the training films
    config.batch_size = 64  # films in a step, over all devices
    # Films that pass through the network at a time on each device; their gradients are added up,
    # so the step is the same but needs less memory. 0 chooses: 4 on a CPU, where that is also
    # faster, and all at once elsewhere. Batch norm normalises over these films, so with batch norm
    # 0 means all at once everywhere.
    config.microbatch_size = 0
    # The films over which batch norm computes means and variances in training: "devices" means
    # those on all devices, with the same numbers for any count of devices; "device" means that
    # each device uses its own films and does not wait for the others.
    config.statistics_over = "devices"
    # Precision of the network's float32 convolutions and matrix products. "default" is the fastest
    # of the device: TF32, which keeps 10 bits of the mantissa, on NVIDIA GPUs from Ampere on; one
    # pass of bfloat16 on a TPU; all of float32 on a CPU. "highest" is all of float32 everywhere.
    config.precision = "default"

    config.train = train = ConfigDict()
    # Steps that one call to the devices takes. On a GPU a step of a small network takes about a
    # millisecond, and a call some tenths of one. Saves, signals and the check for values that are
    # not finite wait for the end of a call; every step is logged. 0 chooses: 1 on a CPU; elsewhere
    # 8 to 32 if that divides an epoch, or 16.
    train.steps_per_call = 0

    config.data = data = ConfigDict()
    # A folder {train,val,test}/{class}, or a set by its name: "synthetic" films are drawn, those of
    # "synthetic_hard" have faint opacities and a shortcut, and "pneumonia_mnist" is downloaded.
    data.root = "synthetic"
    # A CSV file that lists films in place of the folders: a row for each film with its path and its
    # label and, if known, its patient and its split. Paths are relative to the table or, if
    # data.root is a folder, to that. "": the films are those of data.root.
    data.table = ""
    data.columns = columns = ConfigDict()  # the names of the table's columns
    columns.path = "path"
    columns.label = "label"
    columns.patient = "patient"  # the table may lack it; data.patient_pattern is used then
    columns.split = "split"  # the table may lack it; all films are for training then
    # The names of the class folders, or the labels of a table, that count as class 0 and class 1.
    # Case, blanks, hyphens and underscores do not matter.
    data.negative = ("NORMAL",)
    data.positive = ("PNEUMONIA",)
    data.ignored = ()  # other names whose films are left out; others stop the run; "*" means all
    # How a film's path tells its patient: "kermany", "nih", "chexpert", "mimic", or a regular
    # expression whose groups are the patient. "": paths tell no patient.
    data.patient_pattern = "kermany"
    # Elements of DICOM headers that describe the films: any of "PatientID", "PatientAge",
    # "PatientSex" and "ViewPosition". They become the patient, stored as a hash, and the columns
    # age, sex and view.
    data.dicom_metadata = ()
    data.val = "patients"  # "patients" held out of train/, or "folder": the films in val/
    data.val_fraction = 0.1  # fraction of each class held out; 0 trains on all films
    # Number of folds, one of which is held out in place of val_fraction;
    # `crossvalidate` trains one network for each. 0: val_fraction decides.
    data.folds = 0
    data.fold = 0  # the fold that is held out
    # A column of the table or of data.dicom_metadata whose groups are the folds, such as "site" or
    # the "style" that `table --styles` writes: each fold then holds out a whole hospital, or all
    # films that look alike. "": folds are equal shares of the patients.
    data.fold_by = ""
    # A column of the table or of data.dicom_metadata, such as "view", whose groups get the same
    # shares on both sides of the division by patient. "": only the classes do.
    data.stratify = ""
    data.split_seed = 0  # chooses the patients held out; separate from `seed`, to compare seeds
    data.image_size = 150  # pixels, height and width
    data.resize = "bilinear_antialias"  # or "bilinear", or "nearest" as in the original
    # Lets the JPEG decoder halve films that are far larger than image_size, which is faster. It has
    # an effect with bilinear_antialias only.
    data.reduced_decode = True
    # GB (10^9 bytes) that the decoded films of a split may take. Larger splits are streamed from
    # TFDS shards, which is slower and gives the same numbers. 0 chooses half of the memory, and
    # nine tenths of the free disk space.
    data.max_cache_gb = 0.0
    # Where the decoded training films lie: "off" sends each batch from the host, "replicated" keeps
    # all films on every device, and "sharded" divides them among the devices. Results are the same.
    # "auto" is "off" on a CPU; elsewhere "replicated" or, if they do not fit, "sharded" or "off".
    data.resident = "auto"
    data.resident_share = 0.3  # fraction of a device's memory that they may take with "auto"
    data.max_rejected_fraction = 0.01  # fraction of unreadable films above which a run stops
    data.normalise = "unit"  # [0, 1]; "film": mean 0, standard deviation 1; "symmetric": [-1, 1]
    # Whether each epoch has as many films of both classes: all of the rarer class, and as many of
    # the other, which are drawn anew.
    data.balanced = False

    config.augment = augment = ConfigDict()
    # Random changes of training films, drawn anew for each film and epoch. All are off here.
    augment.size = 0  # side of training films in pixels; 0: data.image_size, as in evaluation
    augment.crop_area = (1.0, 1.0)  # fraction of the film that a random crop keeps, uniform
    augment.crop_aspect = (1.0, 1.0)  # width to height of the crop, log-uniform
    augment.rotation = 0.0  # degrees, uniform in +-
    augment.shift = 0.0  # fraction of the side, uniform in +-, in each direction
    augment.flip = 0.0  # probability of a mirror image, in which the heart is on the other side
    augment.brightness = 0.0  # fraction of the grey range that is added, uniform in +-
    augment.contrast = 0.0  # factor about the film's mean, log-uniform from 1/(1+x) to 1+x
    augment.gamma = 0.0  # exponent of grey levels, log-uniform from 1/(1+x) to 1+x
    augment.blur = 0.0  # largest sigma of a Gaussian, pixels, uniform from 0
    augment.sharpen = 0.0  # largest amount of an unsharp mask, uniform from 0
    augment.noise = 0.0  # largest standard deviation, fraction of the grey range, uniform from 0
    augment.downscale = 1.0  # smallest factor to shrink by before enlarging again, uniform up to 1
    augment.jpeg = 0.0  # strongest JPEG quantisation, uniform from 0; 1 is that of quality 10
    augment.probability = 1.0  # of each of blur, sharpen, noise, downscale and jpeg
    augment.erase = 0.0  # probability that a rectangle is replaced by the film's mean grey
    augment.mixup = 0.0  # alpha of mixup, which blends in another film; 0: none

    # The network's class and its arguments. A class of yours is "your_module:YourClass".
    config.model = model = ConfigDict()
    model.network = "pneumojax.nn.inception:Inception"
    model.channels = 3  # input channels of the first layer; the grey film is repeated
    model.stem = (32, 32, 64)  # widths of the stem's three convolutions
    model.modules = (  # widths of each Inception module: f1, f2_in, f2_out, f3_in, f3_out, f4
        (64, 48, 64, 8, 16, 32),
        (128, 64, 96, 16, 32, 64),
    )
    model.pools = ()  # indices of modules that come after a 3x3 max pool of stride 2
    model.norm = "none"  # after each convolution: "none" (a bias) or "batch"
    model.activation = "relu"  # after each convolution: "relu", "silu" or "gelu"
    model.heads = ("auxiliary",)  # "main", "auxiliary" or both; the main head predicts if it exists
    model.auxiliary_after = (-1,)  # indices of modules with an auxiliary head; -1 is the last
    model.dropout = 0.5  # fraction of hidden units dropped in each head in training
    model.dtype = "float32"  # or "bfloat16", for computing; parameters and logits stay float32

    config.loss = loss = ConfigDict()
    loss.auxiliary_weights = (0.4,)  # of each auxiliary head, beside a main head of weight 1
    loss.label_smoothing = 0.0  # labels move towards 0.5 by half of this
    loss.class_weights = False  # weigh films so that both classes count equally
    loss.focal_gamma = 0.0  # focal exponent, which down-weights easy films; 2 in its paper

    config.optimizer = optimizer = ConfigDict()
    optimizer.learning_rate = 1e-3  # of Adam; with a schedule, its peak
    optimizer.schedule = "constant"  # or "cosine", which falls to 0 at the last step
    optimizer.warmup_epochs = 0.0  # epochs over which the rate rises linearly
    optimizer.weight_decay = 0.0  # of kernels, decoupled from the gradient (AdamW)
    optimizer.clip_norm = 0.0  # largest gradient norm; larger ones are scaled down; 0: no limit
    optimizer.b1 = 0.9  # decay of the first moment
    optimizer.b2 = 0.999  # decay of the second moment
    optimizer.epsilon = 1e-7  # Keras's value; Optax adds it after the bias correction

    config.start = start = ConfigDict()
    # Weights to begin from, wherever shapes fit: a run folder, or a file of Inception-v3 from Keras
    # (.keras, .weights.h5, .h5) or torchvision (.safetensors). "imagenet" means the weights that
    # Keras publishes, which --download fetches; "" means random weights.
    start.weights = ""

    config.finetune = finetune = ConfigDict()
    finetune.frozen_epochs = 0  # epochs at the start in which only the heads are trained
    # The first stage that is trained after these epochs, such as "stem1" or "modules/4"; the stages
    # before it stay frozen. "": the whole network is trained.
    finetune.unfreeze_from = ""
    finetune.backbone_rate = 1.0  # factor on the learning rate of everything except the heads
    finetune.freeze_statistics = False  # use batch norm's running statistics in training too

    config.distill = distill = ConfigDict()
    # Run folders of trained networks, the teachers. The target of each training film is then
    # a mixture of its label and the teachers' mean probability for the same augmented film. A
    # teacher that was trained on a patient who is held out here is refused; of a cross-validation's
    # folder each fold takes the network of the same fold. (): no teachers.
    distill.teachers = ()
    distill.weight = 1.0  # share of the teachers in the target, above 0 and at most 1
    distill.temperature = 1.0  # divides the teachers' logits; above 1 their targets are softer

    config.average = average = ConfigDict()
    # Decay of an exponential moving average of the weights. The average is what is evaluated and
    # kept as best. 0: no average.
    average.decay = 0.0

    config.early_stopping = early_stopping = ConfigDict()
    # Training ends after this many epochs without a better checkpoint.best_metric; 0: never early.
    early_stopping.patience = 0

    config.test_time = test_time = ConfigDict()
    # Views of a film whose logits are averaged with its own: "flip" (mirrored) and "zoom" (the
    # middle enlarged). Each view costs another forward pass.
    test_time.views = ()

    config.checkpoint = checkpoint = ConfigDict()
    checkpoint.every_steps = 25  # besides the end of each epoch; 0: only at the end of each epoch
    # Chooses the best epoch on validation: the lowest "loss"; the highest "auroc", which ignores
    # where the threshold lies; or "last", which always keeps the last epoch.
    checkpoint.best_metric = "loss"

    config.decision = decision = ConfigDict()  # fitted on validation, kept in the checkpoint
    # How the threshold is chosen: "youden" maximises sensitivity + specificity; "sensitivity" takes
    # the highest threshold that reaches min_sensitivity; "cost" minimises cost_ratio x missed
    # pneumonias + false alarms.
    decision.rule = "youden"
    decision.min_sensitivity = 0.95  # used by "sensitivity" only
    decision.cost_ratio = 1.0  # used by "cost" only: cost of a missed pneumonia / of a false alarm
    decision.temperature = True  # whether to fit a temperature that calibrates the logits

    config.log = log = ConfigDict()
    log.every_steps = 1  # steps between lines in metrics.jsonl and TensorBoard
    log.tensorboard = True  # event files beside metrics.jsonl
    # Where the run is recorded besides its folder: any of "mlflow" and "wandb". The environment
    # says which server or file, such as MLFLOW_TRACKING_URI. The report, which shows films, is sent
    # there too.
    log.trackers = ()
    # Seconds that the end of a command waits at most for trackers that have not taken everything.
    log.tracker_seconds = 10.0
    return config

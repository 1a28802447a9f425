"""The seed experiment: the auxiliary output of a small Inception, five epochs, no remedies.

Command:   python main.py --config=configs/base.py
Films:     python main.py --config=configs/base.py --config.data.root=<folder with train/>
Measured:  docs/results/base_synthetic.json, embedded films on 2 cores of an AMD EPYC beside other
           work: 3:47 from nothing to evaluated; validation of 65 films: sensitivity 1.000 (0.916
           to 1.000), specificity 1.000 (0.857 to 1.000).
           docs/results/base_real.json, 5,216 Kermany training films on 2 cores of an AMD EPYC, 13
           minutes beside other work (1.3 s a step where it has the machine for itself): training
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
    # in less memory. 0 chooses: 4 on a CPU, where it is also faster, all at once elsewhere.
    config.microbatch_size = 0

    config.data = data = ConfigDict()
    data.root = "synthetic"  # "synthetic", "pneumonia_mnist", or a folder {train,val,test}/{class}
    data.val = "patients"  # validation: "patients" carved from train, "folder" as shipped in val/
    data.val_fraction = 0.1  # share of each class's films carved; 0 trains on all: best = last
    data.split_seed = 0  # which patients are carved; apart from `seed`, to compare seeds
    data.image_size = 150  # pixels, height and width
    data.resize = "bilinear_antialias"  # or "bilinear", "nearest" (the original's)
    # Lets the JPEG decoder halve films far larger than image_size itself; bilinear_antialias only.
    data.reduced_decode = True
    data.max_rejected_fraction = 0.01  # share of unreadable films above which a run stops

    config.model = model = ConfigDict()
    model.channels = 3  # channels the first layer takes; the grey film is repeated
    model.stem = (32, 32, 64)  # widths of the stem's three convolutions
    model.modules = (  # widths of each Inception module: f1, f2_in, f2_out, f3_in, f3_out, f4
        (64, 48, 64, 8, 16, 32),
        (128, 64, 96, 16, 32, 64),
    )
    model.heads = ("auxiliary",)  # "main" and/or "auxiliary"; main predicts where it is built
    model.dropout = 0.5  # share of hidden units dropped in each head in training
    model.dtype = "float32"  # or "bfloat16": compute only, parameters and logits stay float32

    config.loss = loss = ConfigDict()
    loss.auxiliary_weight = 0.4  # w in main + w x auxiliary; unused with one head

    config.optimizer = optimizer = ConfigDict()
    optimizer.learning_rate = 1e-3  # Adam, constant
    optimizer.b1 = 0.9  # decay of the first moment
    optimizer.b2 = 0.999  # decay of the second moment
    optimizer.epsilon = 1e-7  # Keras's value in Optax's place, after the bias correction

    config.checkpoint = checkpoint = ConfigDict()
    checkpoint.every_steps = 25  # besides the end of each epoch; 0: only there
    # Of validation, lowest; or "auroc", highest, which does not see where a call at 0.5 falls.
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

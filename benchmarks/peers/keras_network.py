"""The same network in Keras's functional style. Layers have the names of our attributes."""

import keras

STEM = (32, 32, 64)
MODULES = ((64, 48, 64, 8, 16, 32), (128, 64, 96, 16, 32, 64))


def keras_network(size: int, heads: tuple[str, ...] = ("auxiliary",)) -> keras.Model:
    """Maps images (batch, size, size, 3) in [0, 1] to {head: logits (batch,)}."""
    conv = lambda name, width, window, **options: keras.layers.Conv2D(  # noqa: E731
        width, window, activation="relu", name=name, **options
    )
    images = keras.Input((size, size, 3))
    x = conv("stem1", STEM[0], 3, strides=2)(images)
    x = conv("stem2", STEM[1], 3)(x)
    x = conv("stem3", STEM[2], 3, padding="same")(x)
    x = keras.layers.MaxPooling2D(3, 2)(x)
    for i, (f1, f2_in, f2_out, f3_in, f3_out, f4) in enumerate(MODULES):
        unit = lambda name, width, window, i=i: conv(  # noqa: E731
            f"modules.{i}.{name}", width, window, padding="same"
        )
        branch1 = unit("branch1", f1, 1)(x)
        branch3 = unit("branch3_narrow", f2_in, 1)(x)
        branch3 = unit("branch3_column", f2_out, (3, 1))(branch3)
        branch3 = unit("branch3_row", f2_out, (1, 3))(branch3)
        branch5 = unit("branch5_narrow", f3_in, 1)(x)
        branch5 = unit("branch5_column", f3_out, (5, 1))(branch5)
        branch5 = unit("branch5_row", f3_out, (1, 5))(branch5)
        pooled = keras.layers.MaxPooling2D(3, 1, padding="same")(x)
        pooled = unit("branch_pool", f4, 1)(pooled)
        x = keras.layers.Concatenate()([branch1, branch3, branch5, pooled])

    def classifier(head: str, x: keras.KerasTensor) -> keras.KerasTensor:
        x = keras.layers.Dense(128, activation="relu", name=f"{head}.classifier.hidden")(x)
        x = keras.layers.Dropout(0.5)(x)
        return keras.layers.Dense(1, name=f"{head}.classifier.logit")(x)[:, 0]

    logits = {}
    if "main" in heads:
        logits["main"] = classifier("main_head", keras.layers.GlobalAveragePooling2D()(x))
    if "auxiliary" in heads:
        pooled = keras.layers.AveragePooling2D(5, 3)(x)
        pooled = conv("auxiliary_head.narrow", 64, 1)(pooled)
        logits["auxiliary"] = classifier("auxiliary_head", keras.layers.Flatten()(pooled))
    return keras.Model(images, logits)

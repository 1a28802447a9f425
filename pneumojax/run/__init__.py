"""The run folder: everything of one run, and where it came from.

.lock               held by the process that trains
config.json         the resolved config
changes.json        fields that changed after the run began, and from which epoch on
provenance.json     versions, devices, command, the films' fingerprint and audit
films.csv           every film used, with its split, patient, pathogen and hash
rejected_films.csv  every file left out, and why
teachers.json       the teachers of a distilled run
non_finite.json     the films of a batch whose numbers were not finite
start.json          the weights that the run began from, if any
metrics.jsonl       a line for each step and for each epoch
checkpoints/        latest/ to resume from, best/ to evaluate
decision.json       the threshold of a decision rule that changed after training
tensorboard/        event files
tracking.json       the id of the run in MLflow and W&B, if it is tracked
evaluation/         a folder for each split evaluated
predictions.csv     what predict found, if --output is not given
preview.png         the drawing of preview
profile.json        the measurements of profile
profile.png         the same as a page
profile/            the trace of a few steps
"""

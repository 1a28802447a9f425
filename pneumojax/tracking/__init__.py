"""Trackers record the figures of a run while it trains: files in the run folder, MLflow, W&B.

`Tracker` is the protocol of all of them. Files are written by the training process itself. MLflow
and W&B each work in a child process, so that a server that is slow or dead costs a run nothing.
"""

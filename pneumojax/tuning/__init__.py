"""Searches for better fields of a config with Optuna; every trial is an ordinary run folder.

A study is a folder:

study.json          the config, the fields that are searched, the objectives and the sampler
study.db            the trials, in Optuna's SQLite storage (or study.journal)
trial-0000/         the run folder of a trial, and so on
trial-0000.log      the output of its training
trials.csv          a row for each trial
best.py             the config of the best trial; with several objectives a file for each trial that
                    no other one beats, such as best_0007.py
tune.html           the page
.locks/             held by processes that search; a lock ends with its process
"""

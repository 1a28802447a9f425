"""Published records name files and no places."""

import json

from pneumojax.run.published import lineage, without_paths


def test_the_lineage_names_files_and_their_digests_and_no_folder(tmp_path):
    start = {"weights": "/home/a/inception.h5", "kind": "Keras", "sha256": "12", "stages": []}
    (tmp_path / "start.json").write_text(json.dumps(start))
    (tmp_path / "teachers.json").write_text(json.dumps({"/home/a/runs/large": "34"}))
    assert lineage(tmp_path) == {
        "start": {"weights": "inception.h5", "kind": "Keras", "sha256": "12"},
        "teachers": {"large": "34"},
    }


def test_a_run_from_nothing_has_no_lineage(tmp_path):
    assert lineage(tmp_path) == {}


def test_a_published_config_holds_no_folder(make_config):
    config = make_config()
    with config.unlocked():
        config.start.weights, config.data.table = "/home/a/w.h5", "/home/a/films.csv"
        config.distill.teachers = ("/home/a/runs/large",)
    published = without_paths(config.to_dict())
    assert "/" not in json.dumps({name: published[name] for name in ("data", "start", "distill")})
    assert published["start"]["weights"] == "w.h5"

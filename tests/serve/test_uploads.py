"""What is left of uploads: nothing."""

import os
import time

from pneumojax.serve.uploads import FORGOTTEN_AFTER, forget


def test_an_upload_is_deleted_with_its_folder_and_old_remains_but_no_upload_under_way(tmp_path):
    film, other, old = tmp_path / "a" / "x.dcm", tmp_path / "b" / "y.png", tmp_path / "tmp1"
    for path in (film, other, old):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"film")
    long_ago = time.time() - FORGOTTEN_AFTER - 1
    os.utime(old, (long_ago, long_ago))
    forget(film, tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [other]
    assert not film.parent.exists()
    forget(film, tmp_path)  # a film that is gone already

"""Finds films in a disordered archive, and decodes files of every kind."""

import io
import os
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from pneumojax.data import films
from pneumojax.data.films import find_films
from pneumojax.decoding import pillow
from pneumojax.decoding.film import decode_film, read_bytes
from pneumojax.decoding.film_error import FilmError
from pneumojax.decoding.preprocessing import RESIZES, Preprocessing
from pneumojax.errors import UserError


def _smooth(width=96, height=64):
    """A film-like picture of soft gradients whose quadrants all differ."""
    y, x = np.mgrid[:height, :width]
    picture = 40 + 120 * x / width + 60 * (y / height) ** 2
    return picture.astype(np.uint8)


def _encode(image, kind="PNG", **options):
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def _write(root, *paths):
    data = _encode(Image.fromarray(_smooth()), "JPEG")
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)


def _paths(folder):
    return [film.path for film in folder.files]


class TestFindFilms:
    def test_lists_split_label_size_and_time_sorted_by_path(self, tmp_path):
        _write(tmp_path, "val/PNEUMONIA/b.jpeg", "train/NORMAL/z.jpeg", "train/NORMAL/a.jpeg")
        os.utime(tmp_path / "val/PNEUMONIA/b.jpeg", ns=(5, 7))
        folder = find_films(tmp_path)
        assert folder.root == tmp_path
        assert _paths(folder) == [
            "train/NORMAL/a.jpeg",
            "train/NORMAL/z.jpeg",
            "val/PNEUMONIA/b.jpeg",
        ]
        assert [(f.split, f.label) for f in folder.files] == [("train", 0)] * 2 + [("val", 1)]
        assert folder.files[2].size == (tmp_path / "val/PNEUMONIA/b.jpeg").stat().st_size
        assert folder.files[2].mtime_ns == 7
        assert folder.ignored == 0

    def test_survives_the_real_archive(self, tmp_path):
        good = ["train/NORMAL/IM-0001-0001.jpeg", "test/PNEUMONIA/person1_virus_6.jpeg"]
        strays = [
            "__MACOSX/train/NORMAL/IM-0001-0001.jpeg",
            "__MACOSX/chest_xray/train/NORMAL/._IM-0001-0001.jpeg",
            ".DS_Store",
            "train/.DS_Store",
            "train/NORMAL/.DS_Store",
            "train/NORMAL/._IM-0001-0001.jpeg",
            "train/NORMAL/notes.txt",
            "train/NORMAL/deeper/IM-0002-0001.jpeg",
            "train/COVID/deeper/x.jpeg",
            "extra/NORMAL/x.jpeg",
            "chest_xray/train/NORMAL/IM-0001-0001.jpeg",
            "chest_xray/test/PNEUMONIA/person1_virus_6.jpeg",
        ]
        _write(tmp_path, *good, *strays)
        (tmp_path / "train/NORMAL/folder.jpeg").mkdir()
        folder = find_films(tmp_path)
        assert _paths(folder) == sorted(good)
        assert folder.ignored == len(strays)

    def test_folder_names_and_suffixes_may_be_in_any_case(self, tmp_path):
        paths = ["Train/Normal/a.JPG", "TRAIN/pneumonia/b.Png", "train/NORMAL/c.jpeg"]
        _write(tmp_path, *paths)
        folder = find_films(tmp_path)
        assert _paths(folder) == sorted(paths)
        assert {f.path: (f.split, f.label) for f in folder.files} == {
            paths[0]: ("train", 0),
            paths[1]: ("train", 1),
            paths[2]: ("train", 0),
        }

    def test_splits_one_folder_down_become_the_root(self, tmp_path):
        _write(tmp_path, "chest_xray/train/NORMAL/a.jpeg", "__MACOSX/train/NORMAL/a.jpeg")
        folder = find_films(tmp_path)
        assert folder.root == tmp_path / "chest_xray"
        assert _paths(folder) == ["train/NORMAL/a.jpeg"]

    def test_two_candidates_one_folder_down_are_refused(self, tmp_path):
        _write(tmp_path, "one/train/NORMAL/a.jpeg", "two/train/NORMAL/a.jpeg")
        with pytest.raises(UserError, match=r"data\.root.*'one', 'two'"):
            find_films(tmp_path)

    def test_a_flat_folder_is_one_split_named_all(self, tmp_path):
        _write(tmp_path, "NORMAL/a.jpeg", "PNEUMONIA/b.jpeg", "readme.jpeg")
        folder = find_films(tmp_path)
        assert [(f.path, f.split, f.label) for f in folder.files] == [
            ("NORMAL/a.jpeg", "all", 0),
            ("PNEUMONIA/b.jpeg", "all", 1),
        ]
        assert folder.ignored == 1

    def test_linked_folders_are_followed(self, tmp_path):
        _write(tmp_path / "elsewhere", "a.jpeg")
        (tmp_path / "root/train").mkdir(parents=True)
        (tmp_path / "root/train/NORMAL").symlink_to(tmp_path / "elsewhere")
        assert _paths(find_films(tmp_path / "root")) == ["train/NORMAL/a.jpeg"]

    def test_a_root_that_cannot_be_used_is_one_clear_line(self, tmp_path):
        _write(tmp_path, "NORMALS/a.jpeg", "file.txt")
        cases = {
            tmp_path / "nowhere": "does not exist",
            tmp_path / "file.txt": "is not a folder",
            tmp_path: "no NORMAL or PNEUMONIA folder.*"
            "found 'NORMALS' with 'a.jpeg' in it; 'file.txt'",
            tmp_path / "NORMALS": "found 'a.jpeg'",
        }
        for root, message in cases.items():
            with pytest.raises(
                UserError, match=f"^config.data.root: .*{message}.*<root>/"
            ) as caught:
                find_films(root)
            assert "\n" not in str(caught.value)

    def test_a_folder_that_cannot_be_read_is_one_clear_line(self, tmp_path, monkeypatch):
        _write(tmp_path, "train/NORMAL/a.jpeg")

        def refuse(path):
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(films.os, "scandir", refuse)  # permissions do not stop the user root
        with pytest.raises(
            UserError, match=r"^config\.data\.root: cannot read .*Permission denied"
        ):
            find_films(tmp_path)


class TestPreprocessing:
    def test_round_trip_through_its_dict(self):
        preprocessing = Preprocessing(64, "nearest")
        fields = {"image_size": 64, "resize": "nearest", "reduced_decode": False}
        assert preprocessing.as_dict() == fields
        assert Preprocessing(**preprocessing.as_dict()) == preprocessing

    @pytest.mark.parametrize("size", [0, -1, 1.5, True, "150"])
    def test_names_the_field_of_a_wrong_size(self, size):
        with pytest.raises(ValueError, match="^image_size is "):
            Preprocessing(image_size=size)

    def test_names_the_field_of_an_unknown_resize(self):
        with pytest.raises(ValueError, match="^resize is 'cubic'.*bilinear_antialias"):
            Preprocessing(resize="cubic")


def _modes():
    picture = _smooth()
    grey = Image.fromarray(picture)
    clear = grey.copy()
    clear.putalpha(
        Image.fromarray(np.arange(64 * 96, dtype=np.uint32).reshape(64, 96).astype("u1"))
    )
    palette = grey.convert("P")
    palette.info["transparency"] = bytes(range(256))
    rgb = grey.convert("RGB")
    return {
        "grey": _encode(grey),
        "rgb": _encode(rgb),
        "rgba": _encode(clear.convert("RGBA")),
        "grey with alpha": _encode(clear),
        "palette": _encode(grey.convert("P")),
        "palette with alpha": _encode(palette, transparency=bytes(range(256))),
        "rgb with a clear colour": _encode(rgb, transparency=(40, 40, 40)),
        "16 bits": _encode(Image.fromarray(picture.astype(np.uint16) * 257)),
        "jpeg grey": _encode(grey, "JPEG", quality=98),
        "jpeg rgb": _encode(rgb, "JPEG", quality=98),
        "jpeg cmyk": _encode(rgb.convert("CMYK"), "JPEG", quality=98),
        "jpeg progressive": _encode(grey, "JPEG", quality=98, progressive=True),
    }


class TestDecodeFilm:
    @pytest.mark.parametrize("mode", _modes())
    def test_every_mode_gives_the_same_film(self, mode):
        data = _modes()[mode]
        expected, *_ = decode_film(_encode(Image.fromarray(_smooth())), Preprocessing(32))
        pixels, width, height = decode_film(data, Preprocessing(32))
        assert (pixels.shape, pixels.dtype, width, height) == ((32, 32), np.uint8, 96, 64)
        tolerance = 3 if mode.startswith("jpeg") else 0
        assert np.abs(pixels.astype(int) - expected).max() <= tolerance

    def test_one_bit_becomes_black_and_white(self):
        bits = np.tile(np.repeat([False, True], 16), (32, 1))
        pixels, *_ = decode_film(_encode(Image.fromarray(bits)), Preprocessing(32))
        assert np.array_equal(pixels, bits * np.uint8(255))

    def test_sixteen_bits_are_scaled_by_their_full_range(self):
        film = np.full((16, 16), 511, np.uint16)
        film[0, 0] = 65535
        pixels, *_ = decode_film(_encode(Image.fromarray(film)), Preprocessing(16))
        assert pixels[0, 0] == 255 and pixels[5, 5] == 1

    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("kind", ["JPEG", "PNG"])
    def test_exif_orientation_is_applied(self, orientation, kind):
        upright = Image.fromarray(_smooth())
        undo = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
        step = undo.get(orientation, pillow._TRANSPOSES.get(orientation))
        stored = upright if step is None else upright.transpose(step)
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = _encode(stored, kind, exif=exif)
        pixels, width, height = decode_film(data, Preprocessing(48))
        expected, *_ = decode_film(_encode(upright), Preprocessing(48))
        assert (width, height) == (96, 64)
        assert np.abs(pixels.astype(int) - expected).max() <= 4

    @pytest.mark.parametrize("kind", ["JPEG", "PNG"])
    def test_damaged_exif_neither_warns_nor_loses_the_film(self, kind):
        exif = Image.Exif()
        exif[0x0112] = 1
        exif[0x010E] = "a description that is long enough to lie outside of the entry"
        whole = exif.tobytes()
        complaints = 0
        for damaged in [b"Exif\0\0garbage, not a directory", *(whole[:n] for n in range(6, 60))]:
            data = _encode(Image.fromarray(_smooth()), kind, exif=damaged)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                with Image.open(io.BytesIO(data)) as image:
                    try:
                        image.getexif()
                    except Exception:
                        complaints += 1
            complaints += len(caught)
            assert decode_film(data, Preprocessing(32))[1:] == (96, 64)
        assert complaints > 0  # Pillow did warn

    def test_threads_change_the_warning_filters_one_at_a_time(self, monkeypatch):
        exif = Image.Exif()
        exif[0x0112] = 3
        data = _encode(Image.fromarray(_smooth()), "JPEG", exif=exif)
        inside, most = [], []
        read_header = pillow._read_header

        def slowly(*arguments):
            inside.append(None)
            most.append(len(inside))
            time.sleep(0.002)
            inside.pop()
            return read_header(*arguments)

        monkeypatch.setattr(pillow, "_read_header", slowly)
        before = list(warnings.filters)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: decode_film(data, Preprocessing(32)), range(40)))
        assert max(most) == 1
        assert warnings.filters == before

    def test_more_pixels_than_pillow_likes_are_no_warning(self):
        side = 9_500  # 90 megapixels: Pillow warns, and our limit is higher
        data = _encode(Image.new("1", (side, side)))
        assert decode_film(data, Preprocessing(16))[1:] == (side, side)

    @pytest.mark.parametrize(("kind", "trailer"), [("JPEG", 0), ("PNG", 4 + 4 + 12)])
    def test_a_file_cut_anywhere_is_refused(self, kind, trailer):
        """A PNG cut within its last checksum or end chunk has all its pixels and is read."""
        noise = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
        data = _encode(Image.fromarray(noise), kind)
        for end in range(1, len(data) - trailer):
            with pytest.raises(FilmError):
                decode_film(data[:end], Preprocessing(16))
        with pytest.raises(FilmError, match=f"^truncated {kind}$"):
            decode_film(data[: len(data) * 3 // 4], Preprocessing(16))

    def test_bytes_that_are_no_film_have_a_short_reason(self):
        grey = Image.fromarray(_smooth())
        cases = {
            b"": "empty file",
            b"hello, this is text": "not a JPEG, PNG or DICOM file",
            _encode(grey, "GIF"): "not a JPEG, PNG or DICOM file",
            _encode(grey, "TIFF"): "not a JPEG, PNG or DICOM file",
            _encode(Image.new("L", (1, 1))): "1 x 1 pixels: too small",
            _encode(Image.new("L", (15, 400))): "15 x 400 pixels: too small",
            b"\xff\xd8\xff\xe0": "damaged JPEG header",
            b"\x89PNG\r\n\x1a\n" + bytes(20): "damaged PNG header",
        }
        for data, reason in cases.items():
            with pytest.raises(FilmError) as caught:
                decode_film(data, Preprocessing())
            assert str(caught.value) == reason

    def test_a_bomb_is_refused_from_its_header(self):
        data = bytearray(_encode(Image.new("L", (16, 16))))
        data[16:24] = (20_000).to_bytes(4, "big") * 2
        data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
        with pytest.raises(FilmError, match=r"^20000 x 20000 pixels: too large$"):
            decode_film(bytes(data), Preprocessing())

    def test_random_damage_is_a_film_error_or_a_film(self):
        rng = np.random.default_rng(1)
        for kind in ("JPEG", "PNG"):
            data = np.frombuffer(_encode(Image.fromarray(_smooth()), kind), np.uint8)
            for _ in range(300):
                damaged = data.copy()
                damaged[rng.integers(len(data), size=3)] = rng.integers(256, size=3)
                try:
                    assert decode_film(damaged.tobytes(), Preprocessing(32))[0].shape == (32, 32)
                except FilmError as error:
                    assert len(str(error)) < 60


class TestResize:
    def _difference(self, resize):
        """Compares a detailed picture with its copy at a quarter of the size, both at 32."""
        noise = np.random.default_rng(0).normal(0, 60, (512, 512))
        large = Image.fromarray((_smooth(512, 512) + noise).clip(0, 255).astype(np.uint8))
        small = large.resize((128, 128), Image.Resampling.BOX)
        pixels = [
            decode_film(_encode(film), Preprocessing(32, resize))[0].astype(float)
            for film in (large, small)
        ]
        return np.abs(pixels[0] - pixels[1]).mean()

    def test_only_antialiasing_makes_sizes_of_a_film_agree(self):
        assert self._difference("bilinear_antialias") < 2
        assert self._difference("bilinear") > 8
        assert self._difference("nearest") > 16

    def test_antialiased_bilinear_is_a_triangle_as_wide_as_the_shrinking(self):
        rng = np.random.default_rng(0)
        film = rng.integers(0, 256, (40, 64), dtype=np.uint8)
        pixels, *_ = decode_film(_encode(Image.fromarray(film)), Preprocessing(20))

        def triangle(size):
            centres = (np.arange(20)[:, None] + 0.5) * size / 20
            taps = np.maximum(0, 1 - np.abs(np.arange(size) + 0.5 - centres) / (size / 20))
            return taps / taps.sum(1, keepdims=True)

        expected = triangle(40) @ film @ triangle(64).T
        assert np.abs(pixels - expected).max() < 1.01

    def test_bilinear_takes_two_taps_on_pixel_centres(self):
        rng = np.random.default_rng(0)
        film = rng.integers(0, 256, (40, 64), dtype=np.uint8)
        pixels, *_ = decode_film(_encode(Image.fromarray(film)), Preprocessing(20, "bilinear"))

        def taps(size):
            at = np.clip((np.arange(20) + 0.5) * size / 20 - 0.5, 0, size - 1)
            low = np.floor(at).astype(int)
            return low, np.minimum(low + 1, size - 1), at - low

        y0, y1, fy = taps(40)
        x0, x1, fx = taps(64)
        rows = film[y0] * (1 - fy[:, None]) + film[y1] * fy[:, None]
        expected = rows[:, x0] * (1 - fx) + rows[:, x1] * fx
        assert np.abs(pixels + 0.5 - expected).max() < 0.51  # Pillow rounds down

    def test_nearest_invents_no_grey_level(self):
        film = np.random.default_rng(0).choice(np.array([0, 255], np.uint8), (100, 100))
        pixels, *_ = decode_film(_encode(Image.fromarray(film)), Preprocessing(30, "nearest"))
        assert set(np.unique(pixels)) == {0, 255}

    @pytest.mark.parametrize("resize", RESIZES)
    def test_a_film_of_the_right_size_is_left_alone(self, resize):
        film = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
        pixels, *_ = decode_film(_encode(Image.fromarray(film)), Preprocessing(48, resize))
        assert np.array_equal(pixels, film)


class TestReducedDecode:
    """Decodes a large smooth JPEG at full size and with the decoder's own scaling."""

    def test_differs_from_full_decoding_by_grey_levels_and_not_by_a_shift(self):
        # 403 x 517 is no multiple of 8: a rectangle off by one reduced pixel would shift the film.
        data = _encode(Image.fromarray(_smooth(403, 517)), "JPEG", quality=95)
        full, *size = decode_film(data, Preprocessing(50))
        reduced, *reported = decode_film(data, Preprocessing(50, reduced_decode=True))
        assert reported == size == [403, 517]
        difference = np.abs(full.astype(int) - reduced)
        assert 0 < difference.max() <= 3 and difference.mean() < 0.5

    @pytest.mark.parametrize("size", [(96, 64), (99, 120)])
    def test_leaves_films_alone_that_are_less_than_twice_the_target(self, size):
        data = _encode(Image.fromarray(_smooth(*size)), "JPEG")
        full, reduced = (decode_film(data, Preprocessing(50, reduced_decode=r)) for r in (0, 1))
        assert np.array_equal(full[0], reduced[0])

    @pytest.mark.parametrize("resize", ["bilinear", "nearest"])
    def test_leaves_resizes_alone_that_are_defined_by_whole_pixels(self, resize):
        data = _encode(Image.fromarray(_smooth(400, 400)), "JPEG")
        full, reduced = (decode_film(data, Preprocessing(50, resize, r)) for r in (False, True))
        assert np.array_equal(full[0], reduced[0])

    def test_keeps_an_edge_where_it_is(self):
        # At 1/8 the picture is 51 x 51, and the film covers its last row and column only in part.
        film = np.zeros((403, 403), np.uint8)
        film[:, 360:], film[360:] = 200, 200
        data = _encode(Image.fromarray(film), "JPEG", quality=95)
        whole, reduced = (decode_film(data, Preprocessing(50, reduced_decode=r)) for r in (0, 1))
        for pixels in (whole[0], reduced[0]):
            # The dark square's side, of 50 pixels, from the bright part of a line.
            for line in (pixels[10], pixels[:, 10]):
                assert 50 - line.sum() / 200 == pytest.approx(360 * 50 / 403, abs=0.1)

    @pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
    @pytest.mark.parametrize("progressive", [False, True])
    def test_reads_every_kind_of_jpeg(self, mode, progressive):
        film = Image.fromarray(_smooth(400, 300)).convert(mode)
        data = _encode(film, "JPEG", quality=95, progressive=progressive)
        full, *_ = decode_film(data, Preprocessing(50))
        reduced, *_ = decode_film(data, Preprocessing(50, reduced_decode=True))
        assert np.abs(full.astype(int) - reduced).max() <= 3

    def test_a_cut_file_is_refused(self):
        noise = np.random.default_rng(0).integers(0, 256, (400, 400), dtype=np.uint8)
        data = _encode(Image.fromarray(noise), "JPEG")
        with pytest.raises(FilmError, match=r"^truncated JPEG$"):
            decode_film(data[: len(data) * 3 // 4], Preprocessing(50, reduced_decode=True))

    def test_turns_a_film_as_its_metadata_say(self):
        exif = Image.Exif()
        exif[0x0112] = 6
        data = _encode(Image.fromarray(_smooth(600, 400)), "JPEG", exif=exif, quality=95)
        full, *size = decode_film(data, Preprocessing(50))
        reduced, *reported = decode_film(data, Preprocessing(50, reduced_decode=True))
        assert reported == size == [400, 600]
        assert np.abs(full.astype(int) - reduced).max() <= 3


def test_a_file_that_cannot_be_read_has_a_reason(tmp_path):
    with pytest.raises(FilmError, match="^cannot be read: No such file or directory$"):
        read_bytes(tmp_path / "folder" / "a.jpeg")

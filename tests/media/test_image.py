from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from media_files import (
    corners,
    huge_jpeg,
    huge_png_header,
    picture_file,
    text_as,
    truncated,
    turned_jpeg,
    video_file,
    zero_byte,
)
from PIL import Image, ImageCms

from actalker.errors import InputError
from actalker.media.image import read_image, write_png


def test_png_comes_back_bit_for_bit(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (31, 17, 3), dtype=np.uint8)
    write_png(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), picture)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), picture)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_comes_upright(tmp_path, orientation):
    picture = read_image(turned_jpeg(tmp_path / "a.jpg", orientation))
    assert picture.shape == (48, 64, 3)
    assert np.abs(picture.astype(int) - corners()).mean() < 4  # JPEG's own error


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM"])
def test_content_counts_and_not_the_name(tmp_path, form):
    picture = read_image(picture_file(tmp_path / "wrong.png", form=form))
    assert np.abs(picture.astype(int) - corners()).mean() < 4


def test_alpha_lies_over_white(tmp_path):
    rgba = np.zeros((16, 16, 4), dtype=np.uint8)
    rgba[..., 0], rgba[:8, :, 3], rgba[8:, :8, 3] = 200, 255, 51  # opaque, a fifth, nothing
    Image.fromarray(rgba).save(tmp_path / "a.png")
    picture = read_image(tmp_path / "a.png")
    assert picture[0, 0].tolist() == [200, 0, 0]
    assert picture[15, 0].tolist() == [244, 204, 204]  # 0.2 * 200 + 0.8 * 255
    assert picture[15, 15].tolist() == [255, 255, 255]


def test_transparent_palette_lies_over_white(tmp_path):
    picture = Image.fromarray(np.repeat(np.arange(2, dtype=np.uint8)[:, None], 16, 1).repeat(8, 0), mode="P")
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.save(tmp_path / "a.png", transparency=1)
    read = read_image(tmp_path / "a.png")
    assert read[0, 0].tolist() == [255, 0, 0] and read[15, 0].tolist() == [255, 255, 255]


def test_16_bit_grey_keeps_its_scale(tmp_path):
    levels = np.linspace(0, 65535, 64).round().astype(np.uint16)[None].repeat(16, 0)
    Image.fromarray(levels).save(tmp_path / "a.png")
    read = read_image(tmp_path / "a.png")
    assert np.abs(read[0, :, 0] - levels[0] / 257).max() <= 0.5
    assert (read[..., 0] == read[..., 2]).all()


@pytest.mark.parametrize("mode", ["L", "LA", "1", "CMYK", "RGBA", "RGBX", "I;16", "I"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    form = "TIFF" if mode in ("CMYK", "RGBX", "I") else "PNG"
    white = np.full((10, 20), 65535, np.uint16) if mode == "I;16" else np.full((10, 20), 65535, np.int32)
    source = Image.fromarray(white) if mode[0] == "I" else Image.new("RGB", (20, 10), "white").convert(mode)
    source.save(tmp_path / "a", format=form)
    read = read_image(tmp_path / "a")
    assert read.shape == (10, 20, 3) and read.dtype == np.uint8 and read.min() >= 254


def test_animation_gives_its_first_picture(tmp_path):
    frames = [Image.new("RGB", (16, 16), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "a.gif")[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda p: p / "none.png", "no such file"),
        (lambda p: p, "is a folder"),
        (lambda p: zero_byte(p / "a.png"), "0 bytes"),
        (lambda p: text_as(p / "a.png"), "is not a picture"),
        (lambda p: video_file(p / "a.mp4", 2), "is not a picture"),
        (
            lambda p: truncated(
                p / "b.png",
                picture_file(p / "a.png", np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)),
            ),
            "damaged",
        ),
        (lambda p: truncated(p / "b.jpg", picture_file(p / "a.jpg", form="JPEG")), "damaged"),
        (lambda p: picture_file(p / "a.png", np.zeros((1, 1, 3), np.uint8)), "1 x 1 pixels"),
        (lambda p: picture_file(p / "a.png", np.zeros((7, 900, 3), np.uint8)), "900 x 7 pixels"),
        (lambda p: huge_png_header(p / "a.png"), "64 megapixels"),
        (lambda p: huge_png_header(p / "a.png", 9000), "9000 x 9000 pixels, 81 megapixels"),
    ],
)
def test_bad_pictures_are_named_with_the_fix(tmp_path, make, said):
    path = make(tmp_path)
    with pytest.raises(InputError, match=said) as caught:
        read_image(path)
    text = str(caught.value)
    assert text.startswith(str(path)) and ";" in text and "\n" not in text


def test_heic_without_its_package_is_told_by_name(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # as Python marks what cannot be imported
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 100)
    with pytest.raises(InputError, match=r"HEIC.*actalker\[heif\].*save it as PNG or JPEG"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("brand", [b"heic", b"mif1"])
def test_heic_is_read_upright(tmp_path, brand):
    heif = pytest.importorskip("pillow_heif")
    picture = Image.fromarray(np.repeat(np.repeat(corners(), 4, 0), 4, 1))
    exif = Image.Exif()
    exif[0x0112] = 6  # stored as iPhones store portraits: on its side
    heif.from_pillow(picture.transpose(Image.Transpose.ROTATE_90)).save(tmp_path / "a", exif=exif.tobytes())
    data = bytearray((tmp_path / "a").read_bytes())
    assert brand in data[:40]
    data[8:12] = brand
    (tmp_path / "a").write_bytes(data)
    read = read_image(tmp_path / "a")
    assert read.shape == (192, 256, 3)
    assert np.abs(read.astype(int) - np.asarray(picture)).mean() < 4


def test_damaged_heic_is_an_input_error(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.fromarray(corners())).save(tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    for part in (0.9, 0.5, 0.1):
        (tmp_path / "cut").write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(InputError, match="damaged"):
            read_image(tmp_path / "cut")


@pytest.mark.parametrize("brand", [b"avif", b"mif1", b"miaf", b"MA1A"])
def test_avif_is_known_by_all_its_brands(tmp_path, brand):
    path = picture_file(tmp_path / "a.avif", form="AVIF")
    data = bytearray(path.read_bytes())
    data[8:12] = brand
    path.write_bytes(data)
    assert np.abs(read_image(path).astype(int) - corners()).mean() < 6


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}], ids=str)
def test_a_jpeg_that_lacks_only_its_end_mark_is_whole(tmp_path, options):
    noise = np.random.default_rng(0).integers(0, 256, (67, 93, 3), np.uint8)
    whole = picture_file(tmp_path / "a.jpg", noise, form="JPEG", quality=90, **options)
    data = whole.read_bytes()
    for left in (data[:-1], data[:-2]):
        (tmp_path / "b.jpg").write_bytes(left)
        np.testing.assert_array_equal(read_image(tmp_path / "b.jpg"), read_image(whole))
    for lost in (8, 40, len(data) // 2):
        (tmp_path / "b.jpg").write_bytes(data[:-lost])
        with pytest.raises(InputError, match="damaged"):
            read_image(tmp_path / "b.jpg")


def test_colours_of_another_profile_become_srgb(tmp_path):
    """In this profile red and green have changed places: so must the picture's channels."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    for form, mode, apart in (("PNG", "RGB", 2), ("PNG", "RGBA", 2), ("JPEG", "RGB", 6)):
        stored = Image.fromarray(corners()).convert(mode)
        stored.save(tmp_path / "a", format=form, icc_profile=bytes(profile))
        read = read_image(tmp_path / "a").astype(int)
        assert np.abs(read - corners()[..., [1, 0, 2]]).mean() < apart
    Image.fromarray(corners()).save(tmp_path / "a", format="PNG", icc_profile=b"no profile")
    np.testing.assert_array_equal(read_image(tmp_path / "a"), corners())


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(seed=st.integers(0, 10**6), form=st.sampled_from(["PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP"]))
def test_damaged_bytes_are_a_picture_or_an_input_error(tmp_path, seed, form):
    rng = np.random.default_rng(seed)
    data = bytearray(picture_file(tmp_path / "a", form=form).read_bytes())
    for at in rng.integers(0, len(data), 8):
        data[at] = rng.integers(0, 256)
    (tmp_path / "b").write_bytes(data)
    try:
        assert read_image(tmp_path / "b").dtype == np.uint8
    except InputError as error:
        assert "\n" not in str(error)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is measured by Linux")
def test_huge_jpeg_is_read_small_in_little_memory(tmp_path):
    """400 megapixels are 1.2 GB of RGB; decoded at a quarter they are 75 MB and a copy."""
    code = (
        "import re, sys\n"
        "from pathlib import Path\n"
        "from actalker.media.image import read_image\n"
        # of this program alone; ru_maxrss would count the process that started it
        "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])\n"
        "before = peak()\n"
        "picture = read_image(sys.argv[1])\n"
        "print(*picture.shape, picture.min(), picture.max(), (peak() - before) // 1024)\n"
    )
    path = huge_jpeg(tmp_path / "a.jpg", 20000)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(path)], capture_output=True, text=True
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    h, w, c, darkest, brightest, megabytes = map(int, done.stdout.split())
    assert (h, w, c, darkest, brightest) == (5000, 5000, 3, 128, 128)
    assert megabytes < 300


def test_progressive_huge_jpeg_is_refused_before_it_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr("actalker.media.image.MOST_PIXELS", 1000)
    picture_file(tmp_path / "a.jpg", form="JPEG", progressive=True)
    with pytest.raises(InputError, match="megapixels"):
        read_image(tmp_path / "a.jpg")
    picture_file(tmp_path / "b.jpg", form="JPEG")
    assert read_image(tmp_path / "b.jpg").shape == (24, 32, 3)


def test_write_png_takes_grey_and_refuses_the_rest(tmp_path):
    write_png(tmp_path / "a.png", np.arange(256, dtype=np.uint8).reshape(16, 16))
    assert read_image(tmp_path / "a.png")[15, 15].tolist() == [255] * 3
    for wrong in (np.zeros((8, 8, 3)), np.zeros((8, 8, 4), np.uint8), np.zeros(8, np.uint8)):
        with pytest.raises(InputError, match="uint8"):
            write_png(tmp_path / "b.png", wrong)
    assert not (tmp_path / "b.png").exists()


def test_sample_portraits_are_read(shared):
    files = sorted((shared / "samples" / "portraits").iterdir())
    sizes = {f.name: read_image(f).shape for f in files}
    assert sizes["painting_mona_lisa.jpg"] == (1280, 720, 3)
    assert sizes["generated_b_jpeg_bytes.png"] == (2840, 2840, 3)
    assert sizes["photo_historic_grey.jpg"] == (500, 375, 3) and len(files) == 9
    truth = np.asarray(Image.open(shared / "samples" / "portraits" / "statue.jpg").convert("RGB"))
    np.testing.assert_array_equal(read_image(shared / "samples" / "portraits" / "statue.jpg"), truth)

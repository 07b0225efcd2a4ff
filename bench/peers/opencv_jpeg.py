"""The Python way to JPEG: pydicom, the window in numpy, OpenCV.

	opencv_jpeg.py jpeg DIRECTORY QUALITY FILE...	DIRECTORY/0.jpg, 1.jpg, ...; to stderr go the seconds it took
	opencv_jpeg.py pixels OUT FILE...				the grey rows of 8 bits that these would be made of, one picture behind the other
	opencv_jpeg.py psnr OURS THEIRS...				pairs of JPEGs of one size and quality: the least peak signal-to-noise ratio, in dB
"""
import sys
import time

import cv2
import numpy
import pydicom


def first(value):
    return float(value[0] if isinstance(value, pydicom.multival.MultiValue) else value)


def grey(path):
    """PS3.3 C.11.2.1.2.1, with the first window of the file."""
    dataset = pydicom.dcmread(path)
    width = first(dataset.WindowWidth) - 1
    low = first(dataset.WindowCenter) - 0.5 - width / 2
    values = dataset.pixel_array.astype(numpy.float32)
    values *= float(dataset.RescaleSlope) * 255 / width
    values += (float(dataset.RescaleIntercept) - low) * 255 / width + 0.5
    return numpy.clip(values, 0, 255, out=values).astype(numpy.uint8)


def jpeg(directory, quality, *paths):
    start = time.perf_counter()
    for number, path in enumerate(paths):
        _, bytes_made = cv2.imencode(".jpg", grey(path), [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
        with open(f"{directory}/{number}.jpg", "wb") as out:
            out.write(bytes_made)
    print(f"{time.perf_counter() - start:f}", file=sys.stderr)


def pixels(target, *paths):
    with open(target, "wb") as out:
        for path in paths:
            out.write(grey(path).tobytes())


def table(path):
    """The first quantisation table, as it stands in the file."""
    with open(path, "rb") as file:
        content = file.read()
    at = content.index(b"\xff\xdb")
    return content[at + 5:at + 69]


def psnr(*paths):
    least = 99.0
    for ours, theirs in zip(paths[::2], paths[1::2]):
        a, b = (cv2.imread(path, cv2.IMREAD_UNCHANGED) for path in (ours, theirs))
        if a is None or b is None or a.shape != b.shape or table(ours) != table(theirs):
            sys.exit(f"{ours} and {theirs} are not the same kind of picture")
        least = min(least, cv2.PSNR(a, b))
    print(f"{least:.1f}")


{"jpeg": jpeg, "pixels": pixels, "psnr": psnr}[sys.argv[1]](*sys.argv[2:])

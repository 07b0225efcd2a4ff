#!/usr/bin/env python3
"""Writes DICOM files for measuring compression: the header of a CT scanner, and 512 x 512 pixels of 16 bits, either smooth (a body of
soft tissue without noise: compresses well) or noisy (the same under the noise of a thin slice: compresses badly). The same arguments always
give the same bytes. Prints how many files it wrote.

	make_images.py --count 10000 --kind noisy DIRECTORY
"""
import argparse
import os
import struct

import numpy

from make_files import Place, header

SIZE = 512
PICTURES = 8  # different ones; every file has one of them, moved by some lines


def body(picture, noise, random):
    """Stored values: 1024 above Hounsfield units, most of them within the window of the header (40, 400)."""
    y, x = numpy.mgrid[0:SIZE, 0:SIZE].astype(numpy.float32) / SIZE - 0.5
    inside = (x / 0.46) ** 2 + (y / 0.36) ** 2 < 1
    tissue = 40 + 60 * numpy.sin(9 * x + picture) * numpy.cos(7 * y) + 40 * numpy.sin(31 * x * y + picture)
    for organ in range(12):
        cx, cy, radius = random.uniform(-0.35, 0.35), random.uniform(-0.25, 0.25), random.uniform(0.02, 0.12)
        tissue[(x - cx) ** 2 + (y - cy) ** 2 < radius ** 2] += random.uniform(-120, 160)
    units = numpy.where(inside, tissue, -1000)
    units += random.normal(0, noise, units.shape)
    return (units + 1024).round().clip(0, 4095).astype("<i2").tobytes()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory")
    parser.add_argument("--count", type=int, default=10000, help="files to write (10000)")
    parser.add_argument("--kind", choices=["smooth", "noisy"], default="smooth")
    arguments = parser.parse_args()
    arguments.seed, arguments.days, arguments.images_per_series, arguments.series_per_study = 1, 20, 250, 2

    random = numpy.random.RandomState(1)
    pictures = [body(i, 0 if arguments.kind == "smooth" else 25, random) for i in range(PICTURES)]
    os.makedirs(arguments.directory, exist_ok=True)
    length = SIZE * SIZE * 2
    for number in range(arguments.count):
        pixels = pictures[number % PICTURES]
        shift = number // PICTURES * 2 * SIZE % length
        with open(os.path.join(arguments.directory, f"{number:06d}.dcm"), "wb") as out:
            out.write(header(Place(arguments, number), SIZE, SIZE))
            out.write(struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, length))
            out.write(pixels[shift:])
            out.write(pixels[:shift])
    print(arguments.count)


if __name__ == "__main__":
    main()

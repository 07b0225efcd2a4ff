"""usage: pydicom_scan.py DIRECTORY TAG...

Prints of every file below a directory, in order of names, its name and the values of the given attributes (gggg,eeee), as
COPY ... TO STDOUT would, and at the end, to stderr, the seconds it took. Reads no pixel data, and none but these attributes.
"""
import os
import sys
import time

import pydicom
from pydicom.multival import MultiValue


def text(dataset, tag):
    element = dataset.get(tag)
    if element is None:
        return "\\N"
    value = element.value
    if value is None:
        return ""
    values = value if isinstance(value, MultiValue) else [value]
    return "\\\\".join(str(v).replace("\\", "\\\\") for v in values)


def main(root, *names):
    tags = [pydicom.tag.Tag(*(int(part, 16) for part in name.split(","))) for name in names]
    write = sys.stdout.write
    start = time.perf_counter()
    paths = sorted(os.path.join(parent, name) for parent, _, files in os.walk(root) for name in files)
    for path in paths:
        dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags)
        write("\t".join([path[len(root) + 1:]] + [text(dataset, tag) for tag in tags]) + "\n")
    sys.stdout.flush()
    print(f"{time.perf_counter() - start:f}", file=sys.stderr)


main(*sys.argv[1:])

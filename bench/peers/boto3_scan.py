"""usage: boto3_scan.py ENDPOINT BUCKET THREADS BYTES TAG...

Lists a bucket and prints of every object its key and the values of the given attributes (gggg,eeee), as COPY ... TO STDOUT would, and
at the end, to stderr, the seconds it took. So many threads read side by side; of each object the first BYTES, and more only
where the header is longer, or all of it for 0. Reads no pixel data into the data set, and none but these attributes.

Credentials are taken from the environment.
"""
import io
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
import pydicom
from botocore.config import Config
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


def parse(content, tags):
    return pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True, specific_tags=tags)


def main(endpoint, bucket, threads, first, *names):
    threads, first = int(threads), int(first)
    tags = [pydicom.tag.Tag(*(int(part, 16) for part in name.split(","))) for name in names]
    config = Config(max_pool_connections=threads, s3={"addressing_style": "path"}, retries={"mode": "standard"})
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", config=config)

    def read(key):
        wanted = {"Range": f"bytes=0-{first - 1}"} if first else {}
        content = client.get_object(Bucket=bucket, Key=key, **wanted)["Body"].read()
        try:
            dataset = parse(content, tags)
        except (EOFError, OSError, pydicom.errors.InvalidDicomError):
            if not first:
                raise
            dataset = parse(client.get_object(Bucket=bucket, Key=key)["Body"].read(), tags)
        return "\t".join([key] + [text(dataset, tag) for tag in tags]) + "\n"

    start = time.perf_counter()
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    keys = (item["Key"] for page in pages for item in page.get("Contents", []))
    if threads == 1:
        sys.stdout.writelines(map(read, keys))
    else:
        with ThreadPoolExecutor(threads) as pool:
            sys.stdout.writelines(pool.map(read, keys))
    sys.stdout.flush()
    print(f"{time.perf_counter() - start:f}", file=sys.stderr)


main(*sys.argv[1:])

"""usage: put_directory.py ENDPOINT ACCESS_KEY SECRET_KEY BUCKET DIRECTORY [PREFIX]

Puts every file below a directory into a bucket, which is made if need be; prints how many.
"""
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config


def main(endpoint, access_key, secret_key, bucket, directory, prefix=""):
    config = Config(s3={"addressing_style": "path"}, max_pool_connections=8, proxies={})
    client = boto3.client("s3", endpoint_url=endpoint, aws_access_key_id=access_key,
                          aws_secret_access_key=secret_key, region_name="us-east-1", config=config)
    if bucket not in [b["Name"] for b in client.list_buckets()["Buckets"]]:
        client.create_bucket(Bucket=bucket)

    def put(path):
        with open(path, "rb") as body:
            client.put_object(Bucket=bucket, Key=prefix + os.path.relpath(path, directory), Body=body.read())

    paths = [os.path.join(parent, name) for parent, _, names in os.walk(directory) for name in names]
    with ThreadPoolExecutor(8) as pool:
        count = sum(1 for _ in pool.map(put, paths))
    print(count)


main(*sys.argv[1:])

"""Create the named S3 buckets that do not exist yet."""

import os
import sys

import boto3

client = boto3.client("s3", endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"])
existing = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
for name in sys.argv[1:]:
    if name not in existing:
        client.create_bucket(Bucket=name)
    print(f"bucket {name}: {'exists' if name in existing else 'created'}")

"""Looks at stored objects with clients that are not ours: boto3, azure-storage-blob, the file system, the zstd command.

stdin: {"kind": "s3" | "azure" | "files", "endpoint", "container", "prefix" (for files: the folder),
        "objects": [{"key", "stored_bytes", "stored_sha256", "plain_bytes", "plain_sha256"}]}
Checks that exactly these objects are there with exactly these bytes, and nothing half-made beside
them: no multipart upload, no uncommitted blob, no temporary file. Prints what is wrong, one line
each; exit status 1 if anything is.
"""

import hashlib
import json
import os
import subprocess
import sys


class S3:
    def __init__(self, job):
        import boto3
        from botocore.config import Config

        self.job = job
        self.client = boto3.client(
            "s3", endpoint_url=job["endpoint"], region_name="us-east-1", aws_access_key_id="s3dliotest",
            aws_secret_access_key="s3dliotestsecret", config=Config(s3={"addressing_style": "path"}))

    def keys(self):
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.job["container"], Prefix=self.job["prefix"])
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def chunks(self, key):
        return self.client.get_object(Bucket=self.job["container"], Key=key)["Body"].iter_chunks(1 << 20)

    def half_made(self):
        pages = self.client.get_paginator("list_multipart_uploads").paginate(Bucket=self.job["container"])
        uploads = [item["Key"] for page in pages for item in page.get("Uploads", [])]
        return [f"multipart upload of {key}" for key in uploads if key.startswith(self.job["prefix"])]


class Azure:
    def __init__(self, job):
        from azure.storage.blob import ContainerClient

        key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
        self.job = job
        self.client = ContainerClient(job["endpoint"], job["container"], credential={
            "account_name": "devstoreaccount1", "account_key": key})

    def keys(self):
        return [blob.name for blob in self.client.list_blobs(name_starts_with=self.job["prefix"])]

    def chunks(self, key):
        return self.client.download_blob(key).chunks()

    def half_made(self):
        blobs = self.client.list_blobs(name_starts_with=self.job["prefix"], include=["uncommittedblobs"])
        committed = set(self.keys())
        return [f"uncommitted blob {blob.name}" for blob in blobs if blob.name not in committed]


class Files:
    def __init__(self, job):
        self.job = job

    def keys(self):
        found = []
        for folder, _, names in os.walk(self.job["prefix"]):
            found += [os.path.join(folder, name) for name in names]
        return found

    def chunks(self, key):
        with open(key, "rb") as file:
            while chunk := file.read(1 << 20):
                yield chunk

    def half_made(self):
        return []  # a temporary file would be among the keys


def digest(chunks):
    size, sha = 0, hashlib.sha256()
    for chunk in chunks:
        size += len(chunk)
        sha.update(chunk)
    return size, sha.hexdigest()


def decompressed(chunks):
    """Through the zstd command; its failure is an exception."""
    import threading

    command = subprocess.Popen(["zstd", "-dc"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def feed():
        for chunk in chunks:
            command.stdin.write(chunk)
        command.stdin.close()

    feeder = threading.Thread(target=feed)
    feeder.start()
    while chunk := command.stdout.read(1 << 20):
        yield chunk
    feeder.join()
    if command.wait() != 0:
        raise RuntimeError(f"zstd -dc ended with {command.returncode}")


def main():
    job = json.load(sys.stdin)
    client = {"s3": S3, "azure": Azure, "files": Files}[job["kind"]](job)
    wrong = client.half_made()
    expected = {job["prefix"] + item["key"]: item for item in job["objects"]}
    present = set(client.keys())
    wrong += [f"{key} is missing" for key in sorted(set(expected) - present)]
    wrong += [f"{key} should not be there" for key in sorted(present - set(expected))]
    for key in sorted(present & set(expected)):
        item = expected[key]
        if (stored := digest(client.chunks(key))) != (item["stored_bytes"], item["stored_sha256"]):
            wrong.append(f"{key}: stored {stored}, but {item} was expected")
        elif key.endswith(".zst"):
            plain = digest(decompressed(client.chunks(key)))
            if plain != (item["plain_bytes"], item["plain_sha256"]):
                wrong.append(f"{key}: zstd gives {plain}, but {item} was expected")
        elif (item["stored_bytes"], item["stored_sha256"]) != (item["plain_bytes"], item["plain_sha256"]):
            wrong.append(f"{key}: {item} is not compressed, but differs")
    print("\n".join(wrong) if wrong else f"{len(expected)} objects are as expected")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()

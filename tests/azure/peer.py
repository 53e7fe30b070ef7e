"""The Azure SDK for Python as an independent client of the store that tests/azure_store.rs tests.

peer.py ENDPOINT VERB ARGS...   prints one line of JSON

  see CONTAINER KEY             the object as this client sees it
  put CONTAINER KEY TEXT        stores TEXT with content type text/x-peer and metadata by=peer
  put_blocks CONTAINER KEY TEXT stores TEXT in blocks of 4 bytes
  stage CONTAINER KEY TEXT      leaves one block that is never published
  sas CONTAINER PERMISSIONS EXPIRY
  uncommitted CONTAINER         names that have blocks only
  list CONTAINER                names
"""

import datetime
import json
import sys

from azure.storage.blob import BlobBlock, BlobServiceClient, ContentSettings, generate_container_sas

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def main(endpoint, verb, container_name, *args):
    service = BlobServiceClient(
        endpoint, credential={"account_name": ACCOUNT, "account_key": KEY}, api_version="2021-12-02"
    )
    container = service.get_container_client(container_name)
    if verb == "see":
        blob = container.get_blob_client(args[0])
        facts = blob.get_blob_properties()
        return {
            "size": facts.size,
            "etag": facts.etag,
            "content_type": facts.content_settings.content_type,
            "metadata": facts.metadata,
            "bytes": blob.download_blob().readall().hex(),
        }
    if verb == "put":
        content = ContentSettings(content_type="text/x-peer")
        container.upload_blob(args[0], args[1].encode(), content_settings=content, metadata={"by": "peer"}, overwrite=True)
        return {}
    if verb in ("put_blocks", "stage"):
        blob = container.get_blob_client(args[0])
        data = args[1].encode()
        blocks = []
        for start in range(0, len(data), 4):
            blocks.append(BlobBlock(f"a-longer-block-id-of-the-peer-{start:020}"))
            blob.stage_block(blocks[-1].id, data[start : start + 4])
        if verb == "put_blocks":
            blob.commit_block_list(blocks)
        return {}
    if verb == "sas":
        expiry = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=int(args[1]))
        return {"sas": generate_container_sas(ACCOUNT, container_name, account_key=KEY, permission=args[0], expiry=expiry)}
    if verb == "uncommitted":
        names = {blob.name for blob in container.list_blobs(include=["uncommittedblobs"])}
        return sorted(names - {blob.name for blob in container.list_blobs()})
    if verb == "list":
        return [blob.name for blob in container.list_blobs()]
    raise SystemExit(f"unknown verb {verb}")


print(json.dumps(main(*sys.argv[1:])))

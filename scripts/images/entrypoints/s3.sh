#!/bin/sh
# An S3 server over the folder /data: a folder there is a bucket, and the one that is asked for is made.
#   ROOT_ACCESS_KEY_ID, ROOT_SECRET_ACCESS_KEY   needed
#   S3_BUCKET   sluice
#   S3_REGION   us-east-1
set -eu
: "${ROOT_ACCESS_KEY_ID:?must be set}" "${ROOT_SECRET_ACCESS_KEY:?must be set}"
data=${S3_DIR:-/data}
mkdir -p "$data/buckets/${S3_BUCKET:-sluice}" "$data/sidecar"
exec versitygw --port :9000 --region "${S3_REGION:-us-east-1}" --health /healthz --quiet posix --sidecar "$data/sidecar" "$data/buckets"

"""Lifecycle and policy of the bucket, as a safety net for the clean-up."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

from apps.runs.payloads.hold import MAX_HOLD
from apps.runs.payloads.object_store import FOLDER

# Maximum duration of a run: an object may be stored that long before its retention begins.
_LONGEST_RUN = timedelta(days=7)


def lifecycle_rules(retention: timedelta) -> dict[str, Any]:
    """Lifecycle of the bucket, for `aws s3api put-bucket-lifecycle-configuration`.

    S3 counts days from the upload and does not know holds, so the rule waits for the longest hold.
    """
    days = math.ceil((retention + _LONGEST_RUN + MAX_HOLD) / timedelta(days=1))
    return {
        "Rules": [
            {
                "ID": "synclog-payloads-that-were-forgotten",
                "Status": "Enabled",
                "Filter": {"Prefix": FOLDER},
                "Expiration": {"Days": days},
                "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
            },
            {
                "ID": "synclog-uploads-that-were-given-up",
                "Status": "Enabled",
                "Filter": {"Prefix": FOLDER},
                "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
            },
        ]
    }


def tls_policy(bucket: str) -> dict[str, Any]:
    """Policy of the bucket, for `aws s3api put-bucket-policy`: no unencrypted requests."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "SynclogOnlyOverTls",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ],
    }

"""What the bucket itself is told, as the safety net beneath the clean-up."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

from apps.runs.payloads.hold import LONGEST_HOLD
from apps.runs.payloads.object_store import FOLDER

# The longest that a run may take: an object is stored as early as that before its time begins.
_LONGEST_RUN = timedelta(days=7)


def lifecycle_rules(retention: timedelta) -> dict[str, Any]:
    """The bucket's lifecycle, for `aws s3api put-bucket-lifecycle-configuration`.

    S3 counts days from the upload and knows nothing of holds, so the rule waits for the longest of both.
    """
    days = math.ceil((retention + _LONGEST_RUN + LONGEST_HOLD) / timedelta(days=1))
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
    """The bucket's policy, for `aws s3api put-bucket-policy`: nothing is sent in the clear."""
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

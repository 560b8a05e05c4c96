"""dagster-aws's S3 resource, made from soundlake's settings: what runs use to reach the lake's bucket."""

from typing import Any

from dagster_aws.s3 import S3Resource

from lakehouse.settings import Settings
from lakehouse.storage_connection import S3Connection


class LakeS3(S3Resource):
    """Adds to ``S3Resource`` what S3-compatible servers need: buckets in the path, and timeouts that are short."""

    path_style: bool | None = None

    def get_client(self) -> Any:
        import boto3

        reach = S3Connection(self.endpoint_url, self.region_name, self.path_style)
        return boto3.client("s3", **reach.client_arguments())


def lake_s3(settings: Settings) -> LakeS3:
    return LakeS3(
        endpoint_url=settings.s3_endpoint,
        region_name=settings.s3_region,
        path_style=settings.s3_path_style,
    )

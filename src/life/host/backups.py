"""Where a project's backups go: a folder, or a bucket that speaks S3.

    /mnt/backups
    s3://BUCKET/PREFIX?endpoint=https://…&region=eu-central-1

The bucket's access key is taken from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, where there is one, AWS_SESSION_TOKEN.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from life.aios.errors import InvalidInputError
from life.aios.ports.clock import Clock, Entropy
from life.host.data_directory import DataDirectory
from life.lago.backup.repository import Repository
from life.lago.backup.side_files import SideFile

KEYS: Final = ("a2a.key", "webhooks.key")
"""What clients' push tokens in the journal are sealed under, and what webhooks are signed with."""
MODEL_KEYS: Final = "model-keys.json"
"""The keys of model vendors, sealed under the identity."""
SPACES_LOG: Final = "spaces/spaces.db"


def side_files(data: DataDirectory) -> list[SideFile]:
    """What a project has beside journal and blobs and can't make anew. Not the identity, whose keys belong elsewhere, nor the daemons' access
    token, which is made at the next start."""
    keys = [SideFile(name, data.root / name) for name in (*KEYS, MODEL_KEYS)]
    return [*keys, SideFile(SPACES_LOG, data.root / SPACES_LOG, is_database=True)]


@asynccontextmanager
async def open_repository(
    place: str, *, clock: Clock, entropy: Entropy, environment: Mapping[str, str]
) -> AsyncIterator[Repository]:
    """The repository at a place as above; InvalidInputError for one that can't be. A folder is made by the first backup."""
    if not place.startswith("s3://"):
        if Path(place).exists() and not Path(place).is_dir():
            raise InvalidInputError(
                f"{place} is not a folder.", next_step="Name a folder, or s3://BUCKET/PREFIX?endpoint=…."
            )
        yield Repository.in_directory(Path(place), entropy)
        return
    from life.lago.blobs.aws_signature import AwsCredentials
    from life.lago.blobs.s3 import Bucket, S3Objects  # with the HTTP client

    bucket = Bucket(*_bucket(place))
    access, secret = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
    if not access or not secret:
        raise InvalidInputError(
            "The bucket's access key is missing.",
            next_step="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment.",
        )
    credentials = AwsCredentials(access, secret, environment.get("AWS_SESSION_TOKEN") or None)
    async with AsyncExitStack() as stack:
        spaces = []
        for name in ("blobs", "pieces", "manifests"):
            space = S3Objects(bucket._replace(prefix=f"{bucket.prefix}{name}/"), credentials, clock)
            stack.push_async_callback(space.aclose)
            spaces.append(space)
        yield Repository(spaces[0], spaces[1], spaces[2], entropy)


def _bucket(place: str) -> tuple[str, str, str, str]:
    """Endpoint, name, region and prefix."""
    try:
        split = urlsplit(place)
    except ValueError:
        raise InvalidInputError(f"{place} is no address.") from None
    options = dict(parse_qsl(split.query))
    unknown = options.keys() - {"endpoint", "region"}
    if not split.netloc or "endpoint" not in options or unknown:
        raise InvalidInputError(
            "A bucket is named as s3://BUCKET/PREFIX?endpoint=https://HOST, with &region=REGION where it has one."
        )
    prefix = split.path.strip("/")
    return (options["endpoint"], split.netloc, options.get("region", "auto"), f"{prefix}/" if prefix else "")

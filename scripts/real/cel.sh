# shellcheck shell=bash disable=SC2034
# The CEL specification whose conformance cases the tests run, by version and checksum.

CEL_MODULE=cel.dev/expr
CEL_VERSION=v0.25.1
CEL_SUM=h1:1KrZg61W6TWSxuNZ37Xy49ps13NUovb66QLprthtwi4=

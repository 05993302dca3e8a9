# shellcheck shell=bash disable=SC2034
# What the tests on real servers run, by version and checksum. Kafka's version stands in kafka.pom.xml, the checksum of
# each of its jars in kafka.sha256.

MAVEN_DEPENDENCY_PLUGIN=org.apache.maven.plugins:maven-dependency-plugin:3.6.1

APICURIO_VERSION=2.6.13.Final
APICURIO_ZIP_SHA256=d88014c1addff1fc585e1e9510fc41276473726340f4e0997353b46342d3532b

AXONOPS_MODULE=github.com/axonops/axonops-schema-registry
AXONOPS_VERSION=v0.2.1
AXONOPS_SUM=h1:DwV7hieQ+cOyEFdSMOiILb5K1I4kWw67z6hbKz2XBVM=

# The Go toolchain that an older Go fetches as a module.
GO_TOOLCHAIN=1.26.8
go_toolchain_sum() {
    case "$1" in
        linux-amd64) echo h1:ZOmGe1OnfREDMIdb1Qi4G9JSuDPBLGExZMQ4nis1RXM= ;;
        linux-arm64) echo h1:sYL/O6MqS68ML0kjsQ36WoYIpJqkw60TxizWUYUKQMc= ;;
        *) return 1 ;;
    esac
}

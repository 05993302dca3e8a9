//! Arguments → command → exit code. And the allocator of the whole process, librdkafka's memory included.

use std::process::ExitCode;

// Records live for a moment each, and a few of them, in retry, for longer: glibc's heap is full of holes after a while, and
// one failing record in a hundred made all the others a fifth dearer.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    driftgate::cli::main()
}

//! A topic-partition list that frees itself.

use std::ffi::{CString, c_int};

use rdkafka_sys as sys;

/// One entry: topic, partition, offset (or one of librdkafka's logical offsets), metadata text of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Topic name.
    pub topic: String,
    /// Partition number.
    pub partition: i32,
    /// Offset; what it means depends on the call.
    pub offset: i64,
    /// Commit metadata.
    pub metadata: Option<String>,
}

pub(super) struct List(pub(super) *mut sys::rd_kafka_topic_partition_list_t);

impl List {
    pub(super) fn new<'a>(
        entries: impl IntoIterator<Item = (&'a str, i32, i64, Option<&'a str>)>,
    ) -> List {
        // SAFETY: rd_kafka_topic_partition_list_new returns a live, empty list. Each added element is live until the
        // next add, and is filled before that. The metadata is allocated with librdkafka's own allocator, because the
        // list frees it with the same.
        unsafe {
            let list = List(sys::rd_kafka_topic_partition_list_new(8));
            for (topic, partition, offset, metadata) in entries {
                let Ok(name) = CString::new(topic) else {
                    continue;
                };
                let element =
                    sys::rd_kafka_topic_partition_list_add(list.0, name.as_ptr(), partition);
                (*element).offset = offset;
                if let Some(metadata) = metadata.filter(|metadata| !metadata.is_empty()) {
                    let copy = sys::rd_kafka_mem_malloc(std::ptr::null_mut(), metadata.len());
                    std::ptr::copy_nonoverlapping(
                        metadata.as_ptr(),
                        copy.cast::<u8>(),
                        metadata.len(),
                    );
                    (*element).metadata = copy;
                    (*element).metadata_size = metadata.len();
                }
            }
            list
        }
    }

    /// Copies a list that librdkafka owns.
    pub(super) fn read(list: *const sys::rd_kafka_topic_partition_list_t) -> Vec<Entry> {
        if list.is_null() {
            return Vec::new();
        }
        // SAFETY: `list` is live; `elems` points to `cnt` elements; `metadata`, if set, is `metadata_size` bytes.
        unsafe {
            let count = usize::try_from((*list).cnt as c_int).unwrap_or(0);
            (0..count)
                .map(|index| {
                    let element = &*(*list).elems.add(index);
                    let metadata = (!element.metadata.is_null()).then(|| {
                        let bytes = std::slice::from_raw_parts(
                            element.metadata.cast::<u8>(),
                            element.metadata_size,
                        );
                        String::from_utf8_lossy(bytes).into_owned()
                    });
                    Entry {
                        topic: super::text(element.topic),
                        partition: element.partition,
                        offset: element.offset,
                        metadata,
                    }
                })
                .collect()
        }
    }
}

impl Drop for List {
    fn drop(&mut self) {
        // SAFETY: made by us, freed only here.
        unsafe { sys::rd_kafka_topic_partition_list_destroy(self.0) };
    }
}

//! Rights on a broker that asks for them, through librdkafka's own admin calls: Kafka's command would start a Java for each.

use std::ffi::{CStr, CString};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka_sys as sys;
use sys::rd_kafka_AclOperation_t as Op;
use sys::rd_kafka_AclPermissionType_t::RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW;
use sys::rd_kafka_ResourcePatternType_t as Pattern;
use sys::rd_kafka_ResourceType_t as Type;

/// How long the broker may take.
const LIMIT: Duration = Duration::from_secs(60);

/// What a right is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// A topic.
    Topic,
    /// A consumer group.
    Group,
    /// A transactional id.
    TransactionalId,
}

/// Operations on one resource.
#[derive(Debug, Clone)]
pub struct Right {
    /// Of what.
    pub resource: Resource,
    /// Its name.
    pub name: String,
    /// Whether the name is a prefix.
    pub prefixed: bool,
    /// As Kafka's command calls them: `Read`, `Write`, `Create`, `Describe`, `DescribeConfigs`.
    pub operations: Vec<&'static str>,
}

impl Right {
    /// On a topic.
    pub fn topic(name: &str, operations: &[&'static str]) -> Right {
        Right {
            resource: Resource::Topic,
            name: name.to_owned(),
            prefixed: false,
            operations: operations.to_vec(),
        }
    }

    /// To read in a group.
    pub fn group(name: &str) -> Right {
        Right {
            resource: Resource::Group,
            ..Right::topic(name, &["Read"])
        }
    }

    /// To write under a transactional id.
    pub fn transactions(id: &str) -> Right {
        Right {
            resource: Resource::TransactionalId,
            ..Right::topic(id, &["Write", "Describe"])
        }
    }

    /// The same for all names that begin so.
    #[must_use]
    pub fn prefixed(mut self) -> Right {
        self.prefixed = true;
        self
    }
}

/// Gives a user these rights, all in one request, and waits until the broker has them. `admin` is who may.
pub fn allow(admin: &ClientConfig, user: &str, rights: &[Right]) {
    change(admin, user, rights, true);
}

/// Takes these rights away.
pub fn withdraw(admin: &ClientConfig, user: &str, rights: &[Right]) {
    change(admin, user, rights, false);
}

#[expect(
    unsafe_code,
    reason = "rdkafka does not wrap these calls of librdkafka"
)]
fn change(admin: &ClientConfig, user: &str, rights: &[Right], is_given: bool) {
    let text = |text: &str| CString::new(text).expect("no NUL in it");
    let client: BaseProducer = admin.create().expect("a valid configuration");
    let (principal, host) = (text(&format!("User:{user}")), text("*"));
    let rk = client.client().native_ptr();
    let millis = i32::try_from(LIMIT.as_millis()).expect("a minute");
    let make = match is_given {
        true => sys::rd_kafka_AclBinding_new,
        false => sys::rd_kafka_AclBindingFilter_new,
    };
    let mut bindings = Vec::new();
    for right in rights {
        let name = text(&right.name);
        let resource = match right.resource {
            Resource::Topic => Type::RD_KAFKA_RESOURCE_TOPIC,
            Resource::Group => Type::RD_KAFKA_RESOURCE_GROUP,
            Resource::TransactionalId => Type::RD_KAFKA_RESOURCE_TRANSACTIONAL_ID,
        };
        let pattern = match right.prefixed {
            true => Pattern::RD_KAFKA_RESOURCE_PATTERN_PREFIXED,
            false => Pattern::RD_KAFKA_RESOURCE_PATTERN_LITERAL,
        };
        for operation in &right.operations {
            let operation = match *operation {
                "Read" => Op::RD_KAFKA_ACL_OPERATION_READ,
                "Write" => Op::RD_KAFKA_ACL_OPERATION_WRITE,
                "Create" => Op::RD_KAFKA_ACL_OPERATION_CREATE,
                "Describe" => Op::RD_KAFKA_ACL_OPERATION_DESCRIBE,
                "DescribeConfigs" => Op::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS,
                other => panic!("no test needs the operation {other} yet"),
            };
            let allow = RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW;
            let mut why = [0; 256];
            // SAFETY: all texts are live for the call, which copies them; the buffer has the length that is said.
            let binding = unsafe {
                make(
                    resource,
                    name.as_ptr(),
                    pattern,
                    principal.as_ptr(),
                    host.as_ptr(),
                    operation,
                    allow,
                    why.as_mut_ptr(),
                    why.len(),
                )
            };
            assert!(!binding.is_null(), "{right:?}");
            bindings.push(binding);
        }
    }
    // SAFETY: the client is live until this function ends. Options, queue, event and bindings are ours and each is destroyed
    // once, behind its last use; what an event leads to is read before that.
    unsafe {
        let api = match is_given {
            true => sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATEACLS,
            false => sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DELETEACLS,
        };
        let options = sys::rd_kafka_AdminOptions_new(rk, api);
        let queue = sys::rd_kafka_queue_new(rk);
        let (all, count) = (bindings.as_mut_ptr(), bindings.len());
        match is_given {
            true => sys::rd_kafka_CreateAcls(rk, all, count, options, queue),
            false => sys::rd_kafka_DeleteAcls(rk, all, count, options, queue),
        }
        let event = sys::rd_kafka_queue_poll(queue, millis);
        assert!(!event.is_null(), "the broker did not answer in {LIMIT:?}");
        let words = |text| CStr::from_ptr(text).to_string_lossy().into_owned();
        let failed = sys::rd_kafka_event_error(event) as i32;
        assert_eq!(
            failed,
            0,
            "{}",
            words(sys::rd_kafka_event_error_string(event))
        );
        let mut answers = 0;
        let mut refused = Vec::new();
        let mut note = |error: *const sys::rd_kafka_error_t| {
            if !error.is_null() && sys::rd_kafka_error_code(error) as i32 != 0 {
                refused.push(words(sys::rd_kafka_error_string(error)));
            }
        };
        match is_given {
            true => {
                let result = sys::rd_kafka_event_CreateAcls_result(event);
                let all = sys::rd_kafka_CreateAcls_result_acls(result, &raw mut answers);
                for index in 0..answers {
                    note(sys::rd_kafka_acl_result_error(*all.add(index)));
                }
            }
            false => {
                let result = sys::rd_kafka_event_DeleteAcls_result(event);
                let all = sys::rd_kafka_DeleteAcls_result_responses(result, &raw mut answers);
                for index in 0..answers {
                    note(sys::rd_kafka_DeleteAcls_result_response_error(
                        *all.add(index),
                    ));
                }
            }
        }
        assert_eq!(answers, count, "an answer for each");
        assert!(refused.is_empty(), "{refused:?}");
        sys::rd_kafka_event_destroy(event);
        sys::rd_kafka_queue_destroy(queue);
        sys::rd_kafka_AdminOptions_destroy(options);
        sys::rd_kafka_AclBinding_destroy_array(all, count);
    }
}

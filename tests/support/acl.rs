//! Rights on a broker that asks for them, through librdkafka's own admin calls: Kafka's command would start a Java for each.

use std::ffi::{CStr, CString, c_char};
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

/// Takes these rights away, and waits until the broker goes by it.
pub fn withdraw(admin: &ClientConfig, user: &str, rights: &[Right]) {
    change(admin, user, rights, false);
}

type Make = unsafe extern "C" fn(
    Type,
    *const c_char,
    Pattern,
    *const c_char,
    *const c_char,
    Op,
    sys::rd_kafka_AclPermissionType_t,
    *mut c_char,
    usize,
) -> *mut sys::rd_kafka_AclBinding_t;

fn change(admin: &ClientConfig, user: &str, rights: &[Right], is_given: bool) {
    let client: BaseProducer = admin.create().expect("a valid configuration");
    let (make, call): (Make, Call) = match is_given {
        true => (sys::rd_kafka_AclBinding_new, Call::Create),
        false => (sys::rd_kafka_AclBindingFilter_new, Call::Delete),
    };
    let count: usize = rights.iter().map(|right| right.operations.len()).sum();
    let answers = answer(&client, call, bindings(make, user, rights));
    assert_eq!(answers, count, "an answer for each");
    // The controller has answered. What a broker goes by follows a moment later.
    super::eventually(LIMIT, "the broker goes by the rights", || {
        rights.iter().all(|right| {
            right.operations.iter().all(|operation| {
                let operations = vec![*operation];
                let one = [Right {
                    operations,
                    ..right.clone()
                }];
                let filter = bindings(sys::rd_kafka_AclBindingFilter_new, user, &one);
                (answer(&client, Call::Describe, filter) > 0) == is_given
            })
        })
    });
}

/// One for each operation of each right. [`answer`] frees them.
#[expect(
    unsafe_code,
    reason = "rdkafka does not wrap these calls of librdkafka"
)]
fn bindings(make: Make, user: &str, rights: &[Right]) -> Vec<*mut sys::rd_kafka_AclBinding_t> {
    let text = |text: &str| CString::new(text).expect("no NUL in it");
    let (principal, host) = (text(&format!("User:{user}")), text("*"));
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
    bindings
}

/// What is asked of the broker.
#[derive(Debug, Clone, Copy)]
enum Call {
    Create,
    Delete,
    /// Of the first binding alone.
    Describe,
}

/// Asks, and returns how many answers there are: one for each binding that is made or deleted, or the rights that are described.
#[expect(
    unsafe_code,
    reason = "rdkafka does not wrap these calls of librdkafka"
)]
fn answer(
    client: &BaseProducer,
    call: Call,
    mut bindings: Vec<*mut sys::rd_kafka_AclBinding_t>,
) -> usize {
    let rk = client.client().native_ptr();
    let millis = i32::try_from(LIMIT.as_millis()).expect("a minute");
    // SAFETY: the client is live until this function ends. Options, queue, event and bindings are ours and each is destroyed
    // once, behind its last use; what an event leads to is read before that.
    unsafe {
        let api = match call {
            Call::Create => sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATEACLS,
            Call::Delete => sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DELETEACLS,
            Call::Describe => sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBEACLS,
        };
        let options = sys::rd_kafka_AdminOptions_new(rk, api);
        let queue = sys::rd_kafka_queue_new(rk);
        let (all, count) = (bindings.as_mut_ptr(), bindings.len());
        match call {
            Call::Create => sys::rd_kafka_CreateAcls(rk, all, count, options, queue),
            Call::Delete => sys::rd_kafka_DeleteAcls(rk, all, count, options, queue),
            Call::Describe => sys::rd_kafka_DescribeAcls(rk, bindings[0], options, queue),
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
        match call {
            Call::Create => {
                let result = sys::rd_kafka_event_CreateAcls_result(event);
                let all = sys::rd_kafka_CreateAcls_result_acls(result, &raw mut answers);
                for index in 0..answers {
                    note(sys::rd_kafka_acl_result_error(*all.add(index)));
                }
            }
            Call::Delete => {
                let result = sys::rd_kafka_event_DeleteAcls_result(event);
                let all = sys::rd_kafka_DeleteAcls_result_responses(result, &raw mut answers);
                for index in 0..answers {
                    note(sys::rd_kafka_DeleteAcls_result_response_error(
                        *all.add(index),
                    ));
                }
            }
            Call::Describe => {
                let result = sys::rd_kafka_event_DescribeAcls_result(event);
                sys::rd_kafka_DescribeAcls_result_acls(result, &raw mut answers);
            }
        }
        assert!(refused.is_empty(), "{refused:?}");
        sys::rd_kafka_event_destroy(event);
        sys::rd_kafka_queue_destroy(queue);
        sys::rd_kafka_AdminOptions_destroy(options);
        sys::rd_kafka_AclBinding_destroy_array(bindings.as_mut_ptr(), count);
        answers
    }
}

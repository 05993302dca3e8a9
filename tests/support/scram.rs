//! Passwords on a broker that asks for them, through librdkafka's own admin calls, as in `acl`.

use std::ffi::{CStr, CString};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka_sys as sys;
use sys::rd_kafka_ScramMechanism_t::RD_KAFKA_SCRAM_MECHANISM_SHA_512;

/// How long the broker may take.
const LIMIT: Duration = Duration::from_secs(60);
/// The least that the mechanism takes.
const ITERATIONS: i32 = 4096;

/// Gives a user this password, or takes away the one that it has. `admin` is who may.
#[expect(
    unsafe_code,
    reason = "rdkafka does not wrap these calls of librdkafka"
)]
pub fn set(admin: &ClientConfig, user: &str, password: Option<&str>) {
    let client: BaseProducer = admin.create().expect("a valid configuration");
    let rk = client.client().native_ptr();
    let name = CString::new(user).expect("no NUL in it");
    let millis = i32::try_from(LIMIT.as_millis()).expect("a minute");
    let mechanism = RD_KAFKA_SCRAM_MECHANISM_SHA_512;
    // SAFETY: the client is live until this function ends, and so are name and password, which the calls copy. Alteration,
    // options, queue and event are ours and each is destroyed once, behind its last use; what an event leads to is read before
    // that. Without a salt librdkafka makes one.
    unsafe {
        let mut alteration = match password {
            Some(password) => sys::rd_kafka_UserScramCredentialUpsertion_new(
                name.as_ptr(),
                mechanism,
                ITERATIONS,
                password.as_ptr(),
                password.len(),
                std::ptr::null(),
                0,
            ),
            None => sys::rd_kafka_UserScramCredentialDeletion_new(name.as_ptr(), mechanism),
        };
        let api = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_ALTERUSERSCRAMCREDENTIALS;
        let options = sys::rd_kafka_AdminOptions_new(rk, api);
        let queue = sys::rd_kafka_queue_new(rk);
        sys::rd_kafka_AlterUserScramCredentials(rk, &raw mut alteration, 1, options, queue);
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
        let result = sys::rd_kafka_event_AlterUserScramCredentials_result(event);
        let mut answers = 0;
        let all =
            sys::rd_kafka_AlterUserScramCredentials_result_responses(result, &raw mut answers);
        assert_eq!(answers, 1, "an answer for the user");
        let error = sys::rd_kafka_AlterUserScramCredentials_result_response_error(*all);
        if !error.is_null() {
            let code = sys::rd_kafka_error_code(error) as i32;
            assert_eq!(code, 0, "{}", words(sys::rd_kafka_error_string(error)));
        }
        sys::rd_kafka_event_destroy(event);
        sys::rd_kafka_queue_destroy(queue);
        sys::rd_kafka_AdminOptions_destroy(options);
        sys::rd_kafka_UserScramCredentialAlteration_destroy(alteration);
    }
}

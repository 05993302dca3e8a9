use super::*;
use proptest::prelude::*;

fn check(text: &str, home: &str, expect: Result<&str, &str>) {
    let plan = region(home).expect("a region");
    match (convert(text, &plan), expect) {
        (Ok(found), Ok(expect)) => assert_eq!(found, expect, "{text} in {home}"),
        (Err(found), Err(part)) => assert!(
            found.to_string().contains(part),
            "{text} in {home}: {found}"
        ),
        (found, expect) => panic!("{text} in {home}: {found:?}, expected {expect:?}"),
    }
}

#[test]
fn numbers_as_people_write_them() {
    check("030 123456", "DE", Ok("+4930123456"));
    check("030/12 34-56", "DE", Ok("+4930123456"));
    check("+49 30 123456", "FR", Ok("+4930123456"));
    check("0049 30 123456", "DE", Ok("+4930123456"));
    check("+49 (0) 30 123456", "DE", Ok("+4930123456"));
    check("+49 (0)30 123456", "DE", Ok("+4930123456"));
    check("+49 030 123456", "DE", Ok("+4930123456"));
    check("4930123456", "DE", Ok("+4930123456"));
    check("0171 1234567", "DE", Ok("+491711234567"));
    check("07911 123456", "GB", Ok("+447911123456"));
    check("7911 123456", "GB", Ok("+447911123456"));
    check("011 44 7911 123456", "US", Ok("+447911123456"));
    check("1 650 253 0000", "US", Ok("+16502530000"));
    check("416-555-0123", "US", Ok("+14165550123"));
    check("06 12 34 56 78", "FR", Ok("+33612345678"));
    check("8 800 555 35 35", "RU", Ok("+78005553535"));
    check("+7 800 555 35 35", "DE", Ok("+78005553535"));
    check("02 3661 8300", "IT", Ok("+390236618300"));
    check("+39 02 3661 8300", "US", Ok("+390236618300"));
    check("+39 2 3661 8300", "US", Err("+39"));
    // Argentine mobiles are written in two ways.
    check("0343 15 555 1212", "AR", Ok("+5493435551212"));
    check("+54 9 343 555 1212", "AR", Ok("+5493435551212"));
    // With the code of a carrier in front.
    check("0 31 85 2222 2222", "BR", Ok("+558522222222"));
    check("+800 1234 5678", "DE", Ok("+80012345678"));
    check("\u{a0}030\u{2011}123456 ", "DE", Ok("+4930123456"));
}

#[test]
fn what_is_no_number_is_refused() {
    check("", "DE", Err("no phone number"));
    check("+", "DE", Err("no phone number"));
    check("110", "DE", Err("no phone number"));
    check("123", "US", Err("no phone number"));
    check("(650) 253-0000", "FR", Err("no phone number"));
    check("650 253 0000 0", "US", Err("no phone number"));
    check("253 0000", "US", Err("no phone number"));
    check("030 123456 ext. 5", "DE", Err("extension"));
    check("030 123456x5", "DE", Err("extension"));
    check("1-800-FLOWERS", "US", Err("extension"));
    check(
        "+49 30 123456 / +49 30 654321",
        "DE",
        Err("expected digits"),
    );
    check("+999 1234567", "DE", Err("country code"));
    check("+1 253 0000", "US", Err("+1"));
    check("03٠123456", "DE", Err("expected digits"));
    check(&"1".repeat(60), "DE", Err("too many"));
}

/// The numbering plans give an example for each kind of number: what is written there comes back.
#[test]
fn every_region_knows_its_own_examples() {
    let mut tried = 0;
    for metadata in DATABASE.iter().filter(|metadata| metadata.id() != "001") {
        let plan = plan_of(metadata.id()).expect("every pattern compiles");
        for number in kinds(metadata.descriptors()).filter_map(|kind| kind.example()) {
            let whole = format!("+{}{number}", metadata.country_code());
            assert_eq!(
                convert(&whole, &plan).as_deref(),
                Ok(whole.as_str()),
                "{}",
                metadata.id()
            );
            tried += 1;
        }
        // Toll-free and premium numbers of short codes begin like others; a fixed line's is dialled plainly.
        if let Some(number) = metadata
            .descriptors()
            .fixed_line()
            .and_then(|kind| kind.example())
        {
            let whole = format!("+{}{number}", metadata.country_code());
            let prefix = metadata
                .national_prefix()
                .filter(|prefix| prefix.len() == 1 && plan.transform.is_none());
            let home = format!("{}{number}", prefix.unwrap_or(""));
            assert_eq!(
                convert(&home, &plan).as_deref(),
                Ok(whole.as_str()),
                "{home} in {}",
                metadata.id()
            );
        }
    }
    assert!(tried > 1_000, "{tried}");
}

proptest! {
    /// What comes out is a number that says its country itself, so that it comes out again.
    #[test]
    fn a_number_stays_what_it_is(digits in "[+]?[0-9]{1,16}", home in "[A-Z]{2}") {
        if let Some(plan) = region(&home)
            && let Ok(number) = convert(&digits, &plan)
        {
            let again = convert(&number, &plan);
            prop_assert_eq!(again.as_ref(), Ok(&number));
            let given: String = digits.chars().filter(char::is_ascii_digit).collect();
            if digits.starts_with('+') && !number.ends_with(&given) {
                // Only a 0 behind the country code is dropped.
                prop_assert_eq!(number.len(), digits.len() - 1);
            }
        }
    }
}

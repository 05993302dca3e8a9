//! The page `BENCHMARKS.md`: a section for each part of the benchmark, between marks, so that a run of one part leaves the
//! others as they are. Pure.

/// What stands in front of all sections.
const HEAD: &str = "# Benchmarks\n\nWritten by `make bench` and `make scale`; do not edit. Each section says what it was run by, on what, and how it is repeated.\n";

/// The sections, in the order of the page.
const ORDER: [&str; 7] = ["job", "scale", "wide", "burst", "soak", "idle", "start"];

fn begin(key: &str) -> String {
    format!("<!-- bench: {key} -->\n")
}

const END: &str = "<!-- bench: end -->\n";

/// The section of this key on a page.
fn section<'p>(page: &'p str, key: &str) -> Option<&'p str> {
    let mark = begin(key);
    let from = page.find(&mark)? + mark.len();
    let to = from + page[from..].find(END)?;
    Some(&page[from..to])
}

/// The page with a new section of this key. All others stay; what is no section of ours does not.
pub fn put(page: &str, key: &str, text: &str) -> String {
    let mut out = HEAD.to_owned();
    for one in ORDER {
        let text = if one == key {
            Some(text)
        } else {
            section(page, one)
        };
        if let Some(text) = text {
            let text = text.trim_matches('\n');
            out.push_str(&format!("\n{}\n{text}\n\n{END}", begin(one)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_stand_in_their_order_and_do_not_erase_each_other() {
        let page = put("", "idle", "## Idle\n\none\n");
        let page = put(&page, "job", "the job");
        let page = put(&page, "idle", "## Idle\n\ntwo");
        assert_eq!(section(&page, "job"), Some("\nthe job\n\n"));
        assert_eq!(section(&page, "idle"), Some("\n## Idle\n\ntwo\n\n"));
        assert_eq!(section(&page, "scale"), None);
        assert!(
            page.find("the job") < page.find("two") && !page.contains("one\n"),
            "{page}"
        );
        assert_eq!(
            put(&page, "job", "the job"),
            page,
            "the same again changes nothing"
        );
    }

    #[test]
    fn every_part_has_its_place() {
        use crate::bench::section::Part;
        for part in Part::ALL {
            assert!(ORDER.contains(&part.name()), "{part:?}");
        }
    }
}

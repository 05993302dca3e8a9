use super::*;

const SCHEMA: &str = r#"{"type":"record","name":"shop.Order","fields":[
    {"name":"id","type":"string"},
    {"name":"amount","type":["null","int"],"default":null},
    {"name":"note","type":["null","string"],"default":null},
    {"name":"tags","type":{"type":"array","items":"int"},"default":[]}]}"#;

fn csv(delimiter: u8, nulls: &[&str]) -> Format {
    Format::Csv {
        delimiter,
        nulls: nulls.iter().map(|text| (*text).to_owned()).collect(),
    }
}

/// Every row in short: `line: value`, or `line: path: message`.
fn read(format: &Format, text: &[u8]) -> Result<Vec<String>, Failure> {
    let schema = Schema::parse(SCHEMA, &[]).expect("schema");
    let bytes = Box::new(std::io::Cursor::new(text.to_vec()));
    let mut rows = Rows::new(&schema, format, "t", bytes)?;
    let mut found = Vec::new();
    loop {
        match rows.next()? {
            Next::Row { line, value } => {
                found.push(format!(
                    "{line}: {}",
                    json::to_json(&schema, schema.root, &value)
                ));
            }
            Next::Bad(bad) => found.push(bad.to_string()),
            Next::End => return Ok(found),
        }
    }
}

fn check(format: &Format, text: &str, expect: &[&str]) {
    assert_eq!(
        read(format, text.as_bytes()).expect("rows"),
        expect,
        "{text}"
    );
}

#[test]
fn columns_are_fields_in_any_order() {
    check(
        &csv(b',', &[]),
        "amount,id\n7,a\n,b\n",
        &[
            r#"2: {"id":"a","amount":7,"note":null,"tags":[]}"#,
            r#"3: {"id":"b","amount":null,"note":null,"tags":[]}"#,
        ],
    );
    check(
        &csv(b';', &[]),
        "id;tags\r\n\"a;\"\"b\";[1,2]\r\n",
        &[r#"2: {"id":"a;\"b","amount":null,"note":null,"tags":[1,2]}"#],
    );
    check(&csv(b',', &[]), "id,amount\n", &[]);
}

#[test]
fn nulls_are_what_was_said() {
    // Only where null is a value: the id of the second row is a text like any other.
    check(
        &csv(b',', &["NA"]),
        "id,amount,note\na,NA,\nNA,1,NA\nb,,x\n",
        &[
            r#"2: {"id":"a","amount":null,"note":"","tags":[]}"#,
            r#"3: {"id":"NA","amount":1,"note":null,"tags":[]}"#,
            "4: amount: expected a whole number",
        ],
    );
    check(
        &csv(b',', &["NA", ""]),
        "id,amount,note\nb,,\n",
        &[r#"2: {"id":"b","amount":null,"note":null,"tags":[]}"#],
    );
}

#[test]
fn a_bad_row_is_told_by_line_and_column_and_the_next_one_is_read() {
    check(
        &csv(b',', &[]),
        "id,amount,tags\na,x,[]\nb,1\n\n\"c\nd\",2,[]\ne,3,\"[1,\"\"z\"\"]\"\nf,4,[]\n",
        &[
            "2: amount: expected a whole number within the range of int",
            "3: expected 3 cells as in the header, found 2",
            r#"5: {"id":"c\nd","amount":2,"note":null,"tags":[]}"#,
            "7: tags[1]: expected int, found a string",
            r#"8: {"id":"f","amount":4,"note":null,"tags":[]}"#,
        ],
    );
    let found = read(&csv(b',', &[]), b"id,amount\n\xFF,1\nb,2\n").expect("rows");
    assert_eq!(found[0], "2: id: expected UTF-8 text");
    assert_eq!(found.len(), 2);
}

#[test]
fn lines_are_counted_behind_carriage_returns_and_without_a_last_end() {
    check(
        &csv(b',', &[]),
        "id,amount\r\n\r\na,x\r\n\r\n\r\nb,y",
        &[
            "3: amount: expected a whole number within the range of int",
            "6: amount: expected a whole number within the range of int",
        ],
    );
}

#[test]
fn every_column_that_does_not_fit_is_told_before_the_first_row() {
    let refused = |format: &Format, text: &str| match read(format, text.as_bytes()) {
        Err(Failure::Asked(lines)) => lines,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        refused(&csv(b',', &[]), "amuont,note,note,colour\n"),
        [
            "t:1: column \"amuont\" is no field of Order; did you mean \"amount\"?",
            "t:1: column \"note\" stands there twice",
            "t:1: column \"colour\" is no field of Order",
            "t:1: no column \"id\", and the field has no default",
        ]
    );
    let lines = refused(&csv(b',', &[]), "id;amount\n");
    assert!(
        lines
            .iter()
            .any(|line| line.contains("is ',' the delimiter?")),
        "{lines:?}"
    );
    assert_eq!(
        refused(&csv(b',', &[]), ""),
        ["t: is empty; expected a header line"]
    );
}

#[test]
fn rejected_rows_can_be_given_back() {
    check(
        &csv(b',', &[]),
        "driftgate_line,driftgate_path,driftgate_reason,id\n7,id,expected more,a\n",
        &[r#"2: {"id":"a","amount":null,"note":null,"tags":[]}"#],
    );
}

#[test]
fn json_lines_are_objects() {
    let text = "{\"id\":\"a\",\"amount\":7}\r\n\n{\"id\":\"b\",\"nite\":1}\n{\"id\":\"c\",\"tags\":[1,\"x\"]}\n\
                {\"amount\":1}\n{\"id\":\n[1]\n{\"id\":\"z\"}";
    let found = read(&Format::JsonLines, text.as_bytes()).expect("rows");
    let begin = [
        r#"1: {"id":"a","amount":7,"note":null,"tags":[]}"#,
        "3: ",
        "4: tags[1]: ",
        "5: ",
        "6: expected JSON: ",
        "7: ",
        r#"8: {"id":"z","amount":null,"note":null,"tags":[]}"#,
    ];
    assert_eq!(found.len(), begin.len(), "{found:?}");
    for (found, begin) in found.iter().zip(begin) {
        assert!(found.starts_with(begin), "{found} / {begin}");
    }
    assert!(found[1].contains("nite"), "{}", found[1]);
    assert!(!found[4].contains("line 1"), "{}", found[4]);
}

#[test]
fn rows_become_records_only() {
    let schema = Schema::parse("\"string\"", &[]).expect("schema");
    let bytes = Box::new(std::io::Cursor::new(Vec::new()));
    let error = Rows::new(&schema, &Format::JsonLines, "t", bytes).err();
    let error = error.expect("refused").to_string();
    assert!(error.contains("string"), "{error}");
}

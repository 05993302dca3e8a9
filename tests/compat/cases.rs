//! Pairs and histories of schemas on which our verdicts are compared with those of real registries.

/// One pair.
pub(crate) struct Case {
    /// What changes, as docs/compatibility.md names it.
    pub(crate) name: &'static str,
    pub(crate) old: String,
    pub(crate) new: String,
    /// What we say: `b`ackward or `f`orward breaks by the `s`pecification or by `m`eaning.
    pub(crate) expect: &'static str,
    /// Why we read the specification so, where a registry does not.
    pub(crate) note: &'static str,
}

const DECIMAL: &str = "Decimal: \"two schemas that are decimal logical types match if their scales and precisions match\"";
const ALIASES: &str = "Aliases: only the reader's own count, and the old schema has none";
const UNQUALIFIED: &str = "Schema Resolution: enums, fixed and records match by unqualified name";
const NAMED: &str = "Schema Resolution: named types match only when their names do";
const SYMBOLS: &str =
    "Schema Resolution: a symbol that the reader's enum lacks is its default, else an error";
const BRANCH: &str =
    "Schema Resolution: each branch of the writer's union must be one that the reader can read";
const NULL: &str =
    "Schema Resolution: the branch that the writer chose, null, matches nothing of the reader";
const PROMOTED: &str = "Schema Resolution: the promotion stands in the list, and nothing else does";
const MISSING: &str =
    "Schema Resolution: a reader's field without a default that the writer lacks is an error";
const NESTED: &str = "Schema Resolution goes through arrays, maps, unions and records inside";

fn pair(
    name: &'static str,
    old: impl Into<String>,
    new: impl Into<String>,
    expect: &'static str,
    note: &'static str,
) -> Case {
    let (old, new) = (old.into(), new.into());
    Case {
        name,
        old,
        new,
        expect,
        note,
    }
}

fn record(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"compat.R","fields":[{fields}]}}"#)
}

fn fields(
    name: &'static str,
    old: &str,
    new: &str,
    expect: &'static str,
    note: &'static str,
) -> Case {
    let id = r#"{"name":"id","type":"string"}"#;
    let whole = |more: &str| match more {
        "" => record(id),
        more => record(&format!("{id},{more}")),
    };
    pair(name, whole(old), whole(new), expect, note)
}

/// A field `f` of two types.
fn types(
    name: &'static str,
    old: &str,
    new: &str,
    expect: &'static str,
    note: &'static str,
) -> Case {
    let field = |of: &str| record(&format!(r#"{{"name":"f","type":{of}}}"#));
    pair(name, field(old), field(new), expect, note)
}

fn logical(base: &str, word: &str) -> String {
    format!(r#"{{"type":"{base}","logicalType":"{word}"}}"#)
}

fn decimal(precision: u32, scale: u32) -> String {
    format!(r#"{{"type":"bytes","logicalType":"decimal","precision":{precision},"scale":{scale}}}"#)
}

fn symbols(list: &str, default: &str) -> String {
    let default = match default {
        "" => String::new(),
        symbol => format!(r#","default":"{symbol}""#),
    };
    format!(r#"{{"type":"enum","name":"compat.E","symbols":[{list}]{default}}}"#)
}

fn named(name: &str, of: &str, aliases: &str) -> String {
    format!(
        r#"{{"type":"record","name":"{name}","aliases":[{aliases}],"fields":[{{"name":"x","type":"{of}"}}]}}"#
    )
}

pub(crate) fn pairs() -> Vec<Case> {
    let mut all = of_fields();
    all.extend(of_types());
    all.extend(of_logical_types());
    all.extend(of_unions());
    all.extend(of_named_types());
    all.extend(nested());
    all
}

fn of_fields() -> Vec<Case> {
    let a = r#"{"name":"a","type":"int"}"#;
    let a_default = r#"{"name":"a","type":"int","default":1}"#;
    let null = r#"{"name":"a","type":["null","int"],"default":null}"#;
    let b = r#"{"name":"b","type":"int"}"#;
    let b_alias = r#"{"name":"b","type":"int","aliases":["a"]}"#;
    let b_alias_default = r#"{"name":"b","type":"int","aliases":["a"],"default":2}"#;
    vec![
        fields("no change", a, a, "", ""),
        fields("field added with a default", "", a_default, "", ""),
        fields("field added without a default", "", a, "bs", MISSING),
        fields("nullable field added, default null", "", null, "", ""),
        fields(
            "nullable field added without a default",
            "",
            r#"{"name":"a","type":["null","int"]}"#,
            "bs",
            MISSING,
        ),
        fields("field removed that had a default", a_default, "", "", ""),
        fields("field removed that had none", a, "", "fs", MISSING),
        fields(
            "fields reordered",
            &format!("{a},{b}"),
            &format!("{b},{a}"),
            "",
            "",
        ),
        fields("field renamed", a, b, "bs fs", MISSING),
        fields("field renamed with an alias", a, b_alias, "fs", ALIASES),
        fields(
            "field renamed with an alias, both with defaults",
            a_default,
            b_alias_default,
            "",
            "",
        ),
        fields(
            "field renamed with an alias, the new one of another type",
            a_default,
            r#"{"name":"b","type":"string","aliases":["a"],"default":""}"#,
            "bs",
            ALIASES,
        ),
        fields("default added", a, a_default, "", ""),
        fields("default removed", a_default, a, "", ""),
        fields(
            "default changed",
            a_default,
            r#"{"name":"a","type":"int","default":2}"#,
            "",
            "",
        ),
        fields(
            "doc added",
            a,
            r#"{"name":"a","type":"int","doc":"A number."}"#,
            "",
            "",
        ),
        fields(
            "alias added",
            a,
            r#"{"name":"a","type":"int","aliases":["z"]}"#,
            "",
            "",
        ),
    ]
}

fn of_types() -> Vec<Case> {
    let array = |of: &str| format!(r#"{{"type":"array","items":{of}}}"#);
    let map = |of: &str| format!(r#"{{"type":"map","values":{of}}}"#);
    vec![
        types("int to long", r#""int""#, r#""long""#, "fs", PROMOTED),
        types("long to int", r#""long""#, r#""int""#, "bs", PROMOTED),
        types("int to float", r#""int""#, r#""float""#, "fs", PROMOTED),
        types("int to double", r#""int""#, r#""double""#, "fs", PROMOTED),
        types("long to float", r#""long""#, r#""float""#, "fs", PROMOTED),
        types("long to double", r#""long""#, r#""double""#, "fs", PROMOTED),
        types(
            "float to double",
            r#""float""#,
            r#""double""#,
            "fs",
            PROMOTED,
        ),
        types(
            "double to float",
            r#""double""#,
            r#""float""#,
            "bs",
            PROMOTED,
        ),
        types("string to bytes", r#""string""#, r#""bytes""#, "fm", TEXT),
        types("bytes to string", r#""bytes""#, r#""string""#, "bm", TEXT),
        types("string to int", r#""string""#, r#""int""#, "bs fs", ""),
        types("boolean to int", r#""boolean""#, r#""int""#, "bs fs", ""),
        types(
            "int to array of int",
            r#""int""#,
            &array(r#""int""#),
            "bs fs",
            "",
        ),
        types(
            "array of int to array of long",
            &array(r#""int""#),
            &array(r#""long""#),
            "fs",
            NESTED,
        ),
        types(
            "array of string to array of int",
            &array(r#""string""#),
            &array(r#""int""#),
            "bs fs",
            NESTED,
        ),
        types(
            "map of int to map of double",
            &map(r#""int""#),
            &map(r#""double""#),
            "fs",
            NESTED,
        ),
        types(
            "array to map",
            &array(r#""int""#),
            &map(r#""int""#),
            "bs fs",
            "",
        ),
    ]
}

fn of_logical_types() -> Vec<Case> {
    let long = |word: &str| logical("long", word);
    let (millis, micros) = (long("timestamp-millis"), long("timestamp-micros"));
    let fixed = |word: &str| {
        format!(
            r#"{{"type":"fixed","name":"compat.F","size":12,"logicalType":"{word}","precision":9,"scale":2}}"#
        )
    };
    vec![
        types(
            "timestamp-millis to timestamp-micros",
            &millis,
            &micros,
            "bm fm",
            "",
        ),
        types(
            "timestamp-micros to timestamp-millis",
            &micros,
            &millis,
            "bm fm",
            "",
        ),
        types(
            "timestamp-micros to timestamp-nanos",
            &micros,
            &long("timestamp-nanos"),
            "bm fm",
            "",
        ),
        types(
            "timestamp-millis to local-timestamp-millis",
            &millis,
            &long("local-timestamp-millis"),
            "bm fm",
            "",
        ),
        types(
            "time-millis to time-micros",
            &logical("int", "time-millis"),
            &long("time-micros"),
            "bm fs",
            PROMOTED,
        ),
        types(
            "time-micros to timestamp-micros",
            &long("time-micros"),
            &micros,
            "bm fm",
            "",
        ),
        types(
            "date to time-millis",
            &logical("int", "date"),
            &logical("int", "time-millis"),
            "bm fm",
            "",
        ),
        types(
            "date to timestamp-millis",
            &logical("int", "date"),
            &millis,
            "bm fs",
            PROMOTED,
        ),
        types("long to timestamp-millis", r#""long""#, &millis, "", ""),
        types("timestamp-millis to long", &millis, r#""long""#, "", ""),
        types(
            "string to uuid",
            r#""string""#,
            &logical("string", "uuid"),
            "",
            "",
        ),
        types(
            "decimal scale 2 to 4",
            &decimal(12, 2),
            &decimal(12, 4),
            "bs fs",
            DECIMAL,
        ),
        types(
            "decimal precision 9 to 12",
            &decimal(9, 2),
            &decimal(12, 2),
            "fs",
            DECIMAL,
        ),
        types(
            "decimal precision 12 to 9",
            &decimal(12, 2),
            &decimal(9, 2),
            "bs",
            DECIMAL,
        ),
        types("decimal to bytes", &decimal(9, 2), r#""bytes""#, "fm", ""),
        types(
            "decimal to string",
            &decimal(9, 2),
            r#""string""#,
            "bm fm",
            PROMOTED,
        ),
        types(
            "duration to decimal, both fixed",
            &fixed("duration"),
            &fixed("decimal"),
            "bm fm",
            "",
        ),
    ]
}

fn of_unions() -> Vec<Case> {
    vec![
        types("null allowed", r#""int""#, r#"["null","int"]"#, "fs", NULL),
        types(
            "null no longer allowed",
            r#"["null","int"]"#,
            r#""int""#,
            "bs",
            NULL,
        ),
        types(
            "null moved behind",
            r#"["null","int"]"#,
            r#"["int","null"]"#,
            "",
            "",
        ),
        types("a union around one type", r#""int""#, r#"["int"]"#, "", ""),
        types(
            "nullable int to nullable long",
            r#"["null","int"]"#,
            r#"["null","long"]"#,
            "fs",
            BRANCH,
        ),
        types(
            "union branch added",
            r#"["int","string"]"#,
            r#"["int","string","boolean"]"#,
            "fs",
            BRANCH,
        ),
        types(
            "union branch removed",
            r#"["int","string","boolean"]"#,
            r#"["int","string"]"#,
            "bs",
            BRANCH,
        ),
        types(
            "union branches reordered",
            r#"["int","string"]"#,
            r#"["string","int"]"#,
            "",
            "",
        ),
        types(
            "int of a union replaced by double",
            r#"["int","string"]"#,
            r#"["double","string"]"#,
            "fs",
            BRANCH,
        ),
        types(
            "int added beside double",
            r#"["double","string"]"#,
            r#"["double","string","int"]"#,
            "",
            BRANCH,
        ),
        types(
            "string to a union of int and string",
            r#""string""#,
            r#"["int","string"]"#,
            "fs",
            BRANCH,
        ),
        types(
            "nullable string to nullable int",
            r#"["null","string"]"#,
            r#"["null","int"]"#,
            "bs fs",
            BRANCH,
        ),
        types(
            "bytes added beside string",
            r#"["null","string"]"#,
            r#"["null","string","bytes"]"#,
            "fm",
            TEXT,
        ),
    ]
}

fn of_named_types() -> Vec<Case> {
    let fixed =
        |name: &str, size: u32| format!(r#"{{"type":"fixed","name":"{name}","size":{size}}}"#);
    let (ab, abc) = (r#""A","B""#, r#""A","B","C""#);
    let union = |branch: String| format!(r#"["null",{branch}]"#);
    vec![
        types(
            "enum symbol added",
            &symbols(ab, ""),
            &symbols(abc, ""),
            "fs",
            SYMBOLS,
        ),
        types(
            "enum symbol removed",
            &symbols(abc, ""),
            &symbols(ab, ""),
            "bs",
            SYMBOLS,
        ),
        types(
            "enum symbol added, with an enum default",
            &symbols(ab, "A"),
            &symbols(abc, "A"),
            "",
            SYMBOLS,
        ),
        types(
            "enum symbol removed, with an enum default",
            &symbols(abc, "A"),
            &symbols(ab, "A"),
            "",
            SYMBOLS,
        ),
        types(
            "enum symbols reordered",
            &symbols(ab, ""),
            &symbols(r#""B","A""#, ""),
            "",
            "",
        ),
        types(
            "enum to string",
            &symbols(ab, ""),
            r#""string""#,
            "bs fs",
            PROMOTED,
        ),
        types(
            "fixed size changed",
            &fixed("compat.F", 4),
            &fixed("compat.F", 8),
            "bs fs",
            "",
        ),
        types(
            "fixed renamed",
            &fixed("compat.F", 4),
            &fixed("compat.G", 4),
            "bs fs",
            NAMED,
        ),
        types(
            "fixed to bytes",
            &fixed("compat.F", 4),
            r#""bytes""#,
            "bs fs",
            PROMOTED,
        ),
        types(
            "enum renamed",
            &symbols(ab, ""),
            &symbols(ab, "").replace("compat.E", "compat.G"),
            "bs fs",
            NAMED,
        ),
        pair(
            "record renamed",
            named("compat.A", "int", ""),
            named("compat.B", "int", ""),
            "bs fs",
            NAMED,
        ),
        pair(
            "record renamed with an alias",
            named("compat.A", "int", ""),
            named("compat.B", "int", r#""compat.A""#),
            "fs",
            ALIASES,
        ),
        pair(
            "record moved to another namespace",
            named("compat.A", "int", ""),
            named("other.A", "int", ""),
            "",
            UNQUALIFIED,
        ),
        types(
            "inner record renamed",
            &named("compat.A", "int", ""),
            &named("compat.B", "int", ""),
            "bs fs",
            NAMED,
        ),
        types(
            "inner record moved to another namespace",
            &named("compat.A", "int", ""),
            &named("other.A", "int", ""),
            "",
            UNQUALIFIED,
        ),
        types(
            "record of a union renamed",
            &union(named("compat.A", "int", "")),
            &union(named("compat.B", "int", "")),
            "bs fs",
            NAMED,
        ),
        types(
            "record of a union renamed with an alias",
            &union(named("compat.A", "int", "")),
            &union(named("compat.B", "int", r#""compat.A""#)),
            "fs",
            ALIASES,
        ),
    ]
}

fn nested() -> Vec<Case> {
    let line = |more: &str| {
        format!(
            r#"{{"type":"record","name":"compat.Line","fields":[{{"name":"sku","type":"string"}}{more}]}}"#
        )
    };
    let array = |of: String| format!(r#"{{"type":"array","items":{of}}}"#);
    let recursive = |of: &str| {
        format!(
            r#"{{"type":"record","name":"compat.Node","fields":[{{"name":"value","type":"{of}"}},
                {{"name":"next","type":["null","compat.Node"],"default":null}}]}}"#
        )
    };
    let at =
        |word: &str| format!(r#",{{"name":"at","type":{{"type":"long","logicalType":"{word}"}}}}"#);
    let twice = |of: &str| {
        record(&format!(
            r#"{{"name":"a","type":{}}},{{"name":"b","type":"compat.M"}}"#,
            named("compat.M", of, "")
        ))
    };
    vec![
        types(
            "a field without a default added to the items of an array",
            &array(line("")),
            &array(line(r#",{"name":"n","type":"int"}"#)),
            "bs",
            NESTED,
        ),
        types(
            "the unit of a timestamp inside the items of an array",
            &array(line(&at("timestamp-millis"))),
            &array(line(&at("timestamp-micros"))),
            "bm fm",
            "",
        ),
        pair(
            "a recursive record's value from int to long",
            recursive("int"),
            recursive("long"),
            "fs",
            NESTED,
        ),
        pair(
            "a type used twice from int to string",
            twice("int"),
            twice("string"),
            "bs fs",
            NESTED,
        ),
        pair(
            "top type from string to int",
            r#""string""#,
            r#""int""#,
            "bs fs",
            "",
        ),
        pair(
            "top type from string to a record",
            r#""string""#,
            record(""),
            "bs fs",
            "",
        ),
    ]
}

/// A history and a candidate, for the transitive levels. Each step can be registered at the level given with it.
pub(crate) struct History {
    pub(crate) name: &'static str,
    pub(crate) earlier: Vec<(String, &'static str)>,
    pub(crate) new: String,
    /// The levels at which we find something.
    pub(crate) breaks: &'static [&'static str],
    pub(crate) note: &'static str,
}

pub(crate) const TEXT: &str =
    "bytes that are not UTF-8 are no text, and the specification promotes them all the same";
pub(crate) const MEANING: &str =
    "the value means something else afterwards, of which the specification says nothing";
pub(crate) const LAST_ONLY: &str = "the level is about the last version; Apicurio's check compares with each version, whatever the level";
pub(crate) const NOTHING_ASKED: &str =
    "NONE asks for nothing; Apicurio falls back to its global level";

pub(crate) fn histories() -> Vec<History> {
    let of = |more: &str| record(&format!(r#"{{"name":"id","type":"string"}}{more}"#));
    let a = r#",{"name":"a","type":"int"}"#;
    let a_default = r#",{"name":"a","type":"int","default":1}"#;
    let text_default = r#",{"name":"a","type":"string","default":""}"#;
    let of_type = |word: &str| record(&format!(r#"{{"name":"f","type":"{word}"}}"#));
    let history = |name, earlier: Vec<(String, &'static str)>, new, breaks, note| History {
        name,
        earlier,
        new,
        breaks,
        note,
    };
    vec![
        history(
            "a field added with a default, whose default is taken away then",
            vec![(of(""), "BACKWARD"), (of(a_default), "BACKWARD")],
            of(a),
            &["BACKWARD_TRANSITIVE", "FULL_TRANSITIVE"],
            "",
        ),
        history(
            "a field removed and added again as another type",
            vec![(of(a_default), "BACKWARD"), (of(""), "FULL")],
            of(text_default),
            &[
                "BACKWARD_TRANSITIVE",
                "FORWARD_TRANSITIVE",
                "FULL_TRANSITIVE",
            ],
            "",
        ),
        history(
            "int, long, double",
            vec![(of_type("int"), "BACKWARD"), (of_type("long"), "BACKWARD")],
            of_type("double"),
            &["FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"],
            "",
        ),
        history(
            "double, long, int",
            vec![(of_type("double"), "FORWARD"), (of_type("long"), "FORWARD")],
            of_type("int"),
            &["BACKWARD", "BACKWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"],
            "",
        ),
        history(
            "a field that goes, whose removal the version before last does not stand",
            vec![(of(a), "BACKWARD"), (of(a_default), "BACKWARD")],
            of(""),
            &["FORWARD_TRANSITIVE", "FULL_TRANSITIVE"],
            "",
        ),
    ]
}

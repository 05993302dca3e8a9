//! All of the language beyond what a condition over flat fields needs, on an event with lists, maps and every logical type.

use super::support::Bed;
use crate::contract::value::Value;
use crate::expr::testing::schema;

const TRIP: &str = r#"{"type":"record","name":"air.Trip","fields":[
    {"name":"n","type":"int"},
    {"name":"big","type":"long"},
    {"name":"rate","type":"double"},
    {"name":"half","type":"float"},
    {"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}},
    {"name":"tax","type":{"type":"fixed","name":"air.Tax","size":4,"logicalType":"decimal","precision":8,"scale":4}},
    {"name":"name","type":"string"},
    {"name":"note","type":["null","string"]},
    {"name":"seats","type":["null","int"]},
    {"name":"flag","type":["null","boolean"]},
    {"name":"raw","type":"bytes"},
    {"name":"code","type":{"type":"fixed","name":"air.Code","size":2}},
    {"name":"tags","type":{"type":"array","items":"string"}},
    {"name":"scores","type":{"type":"array","items":["null","long"]}},
    {"name":"legs","type":{"type":"array","items":{"type":"record","name":"air.Leg","fields":[
        {"name":"from","type":"string"},
        {"name":"miles","type":"int"},
        {"name":"fare","type":"air.Fare_placeholder"},
        {"name":"gate","type":["null","string"]},
        {"name":"stops","type":{"type":"array","items":"string"}}]}}},
    {"name":"props","type":{"type":"map","values":"string"}},
    {"name":"counts","type":{"type":"map","values":["null","int"]}},
    {"name":"class","type":{"type":"enum","name":"air.Class","symbols":["ECONOMY","BUSINESS"]}},
    {"name":"classes","type":{"type":"array","items":"air.Class"}},
    {"name":"day","type":{"type":"int","logicalType":"date"}},
    {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
    {"name":"micros","type":{"type":"long","logicalType":"timestamp-micros"}},
    {"name":"clock","type":{"type":"int","logicalType":"time-millis"}},
    {"name":"local","type":{"type":"long","logicalType":"local-timestamp-millis"}},
    {"name":"ref","type":{"type":"string","logicalType":"uuid"}},
    {"name":"guest","type":["null",{"type":"record","name":"air.Guest","fields":[
        {"name":"email","type":["null","string"]},
        {"name":"age","type":"int"},
        {"name":"home","type":["null",{"type":"record","name":"air.Home","fields":[
            {"name":"city","type":"string"}]}]}]}]},
    {"name":"nobody","type":["null","air.Guest"]},
    {"name":"nothing","type":["null",{"type":"array","items":"string"}]}]}"#;

fn some(value: Value) -> Value {
    Value::Union(1, Box::new(value))
}

fn none() -> Value {
    Value::Union(0, Box::new(Value::Null))
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn texts(texts: &[&str]) -> Value {
    Value::Array(texts.iter().map(|one| text(one)).collect())
}

fn leg(from: &str, miles: i32, gate: Option<&str>, stops: &[&str]) -> Value {
    let gate = gate.map_or_else(none, |gate| some(text(gate)));
    Value::Record(vec![
        text(from),
        Value::Int(miles),
        Value::Bytes(vec![0x27, 0x10]),
        gate,
        texts(stops),
    ])
}

pub(super) fn trip() -> Bed {
    let fare = r#"{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}"#;
    let schema = schema(&TRIP.replace(r#""air.Fare_placeholder""#, fare));
    let map = |entries: Vec<(&str, Value)>| {
        Value::Map(
            entries
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
        )
    };
    let event = Value::Record(vec![
        Value::Int(3),
        Value::Long(9_007_199_254_740_993),
        Value::Double(0.5),
        Value::Float(0.25),
        Value::Bytes(vec![0x04, 0xe2]),
        Value::Fixed(vec![0, 0, 0x27, 0x10]),
        text("Łódź"),
        some(text("hi")),
        none(),
        none(),
        Value::Bytes(b"ab".to_vec()),
        Value::Fixed(b"xy".to_vec()),
        texts(&["a", "b", "a"]),
        Value::Array(vec![some(Value::Long(1)), none(), some(Value::Long(3))]),
        Value::Array(vec![
            leg("JFK", 100, Some("B7"), &["x", "y"]),
            leg("BOS", 250, None, &[]),
        ]),
        map(vec![("k", text("v")), ("l", text("w"))]),
        map(vec![("one", some(Value::Int(1))), ("none", none())]),
        Value::Enum(1),
        Value::Array(vec![Value::Enum(0), Value::Enum(1)]),
        Value::Int(15_706),
        Value::Long(1_357_035_420_000),
        Value::Long(1_357_035_420_000_001),
        Value::Int(61_200_000),
        Value::Long(0),
        text("123e4567-e89b-12d3-a456-426614174000"),
        some(Value::Record(vec![
            none(),
            Value::Int(40),
            some(Value::Record(vec![text("Ulm")])),
        ])),
        none(),
        none(),
    ]);
    Bed::new(schema, &event)
}

#[test]
fn expressions_answer() {
    let bed = trip();
    for (text, expect) in [
        // Arithmetic.
        ("n + 4", "7"),
        ("n - 4 * 2", "-5"),
        ("7 / 2", "3"),
        ("-7 / 2", "-3"),
        ("-7 % 3", "-1"),
        ("n % 2", "1"),
        ("-n", "-3"),
        ("-(-n)", "3"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("9223372036854775807 - n", "9223372036854775804"),
        ("big + 1", "9007199254740994"),
        ("rate + half", "0.75"),
        ("rate * 3", "1.5"),
        ("1 / 0.0", "inf"),
        ("-rate", "-0.5"),
        ("price + 1", "13.50"),
        ("price + 0.005", "12.505"),
        ("price - n", "9.50"),
        ("n * price", "37.50"),
        ("price * tax", "12.500000"),
        ("-price", "-12.50"),
        ("price + price == 25", "true"),
        ("0.1 + 0.2 == 0.3", "false"),
        ("price * 0.1 == 1.25", "true"),
        ("round(price * 0.19, 2)", "2.38"),
        ("divide(price, 3, 2)", "4.17"),
        // Values in a format.
        (
            "'%s %s: %d x %.2f (%.1f), %s'.format([name, class, n, price, rate, day])",
            "'Łódź BUSINESS: 3 x 12.50 (0.5), 2013-01-01'",
        ),
        (
            "'%s %s %s %s'.format([tags, scores, props, counts])",
            "'[a, b, a] [1, null, 3] {k: v, l: w} {none: null, one: 1}'",
        ),
        (
            "'%x %X %o %b %b %.0f %.3e'.format([raw, big, n + 5, -n, n > 3, price, n])",
            "'6162 20000000000001 10 -11 0 12 3.000e+00'",
        ),
        (
            "'%s|%s'.format([note.orValue('-'), at])",
            "'hi|2013-01-01T10:17:00Z'",
        ),
        ("'100%%'.format([])", "'100%'"),
        ("strings.quote(name + '\\n')", r#"'"Łódź\n"'"#),
        // Texts and bytes.
        ("name + '!' + note.orValue('')", "'Łódź!hi'"),
        ("raw + b'c'", "b'abc'"),
        ("raw + code == b'abxy'", "true"),
        (
            "size(name) == 4 && name.size() == 4 && size(raw) == 2",
            "true",
        ),
        (
            "name.startsWith('Ł') && name.endsWith('ź') && name.contains('ód')",
            "true",
        ),
        ("name.matches('^[^a-z]ó')", "true"),
        ("name.matches(note.orValue('('))", "false"),
        ("name < 'a'", "false"),
        ("ref.startsWith('123e')", "true"),
        // Lists.
        ("tags[0] + tags[1]", "'ab'"),
        ("size(tags) + tags.size() + size([])", "6"),
        ("tags + ['c']", "['a', 'b', 'a', 'c']"),
        ("['c'] + tags == ['c', 'a', 'b', 'a']", "true"),
        ("'b' in tags && !('z' in tags)", "true"),
        ("name in tags", "false"),
        ("n in [1, 2, 3]", "true"),
        ("n in [1, 2] + [3]", "true"),
        ("1 in scores && !(2 in scores)", "true"),
        ("scores[1] == null", "true"),
        ("scores[0].orValue(9) + scores[1].orValue(9)", "10"),
        ("[1, 2.5]", "[1.0, 2.5]"),
        ("[n, 2, big]", "[3, 2, 9007199254740993]"),
        ("[price, 1, 0.5]", "[12.50, 1, 0.5]"),
        ("[null, note]", "[null, 'hi']"),
        ("[[1], [2, 3]][1][0]", "2"),
        ("[] == []", "true"),
        ("tags == ['a', 'b', 'a']", "true"),
        ("tags != ['a', 'b']", "true"),
        ("legs == legs", "true"),
        ("legs[0] == legs[1]", "false"),
        ("legs[1].from", "'BOS'"),
        ("legs[0].stops[1]", "'y'"),
        (
            "legs[0].gate.orValue('none') + legs[1].gate.orValue('none')",
            "'B7none'",
        ),
        ("has(legs[0].gate) && !has(legs[1].gate)", "true"),
        // Maps.
        ("props['k'] + props.l", "'vw'"),
        ("'k' in props && !('z' in props)", "true"),
        ("has(props.k) && !has(props.z)", "true"),
        ("has(props.z) ? props.z : 'none'", "'none'"),
        ("size(props)", "2"),
        ("props == {'l': 'w', 'k': 'v'}", "true"),
        ("counts.one.orValue(0) + counts['none'].orValue(5)", "6"),
        ("{'a': 1, 'b': n}['b']", "3"),
        ("{'a': {'b': [1, 2]}}.a.b[1]", "2"),
        ("{}", "{}"),
        // Comprehensions.
        ("tags.all(t, t < 'c')", "true"),
        ("tags.exists(t, t == 'b')", "true"),
        ("tags.exists_one(t, t == 'a')", "false"),
        ("tags.exists_one(t, t == 'b')", "true"),
        ("tags.filter(t, t != 'a')", "['b']"),
        ("tags.map(t, t + t)", "['aa', 'bb', 'aa']"),
        ("tags.map(t, t == 'a', size(t) + n)", "[4, 4]"),
        ("props.map(k, k + props[k])", "['kv', 'lw']"),
        ("props.all(k, size(k) == 1)", "true"),
        ("legs.map(l, l.miles).filter(m, m > 100)", "[250]"),
        ("legs.all(l, l.fare == 100 && l.miles > 0)", "true"),
        ("legs.filter(l, l.gate != null).map(l, l.from)", "['JFK']"),
        ("legs.map(l, l.gate != null, l.gate + '!')", "['B7!']"),
        ("legs.exists(l, l.gate != null && l.gate == 'B7')", "true"),
        (
            "legs.exists(l, l.stops.exists(s, s == 'y' && l.from == 'JFK'))",
            "true",
        ),
        (
            "legs.map(l, l.stops.map(s, s + l.from))",
            "[['xJFK', 'yJFK'], []]",
        ),
        ("scores.filter(s, s != null).map(s, s + 1)", "[2, 4]"),
        ("scores.exists(s, s == null)", "true"),
        ("[1, 2, 3].map(x, [x].map(x, x * 10))", "[[10], [20], [30]]"),
        ("[3].map(n, n + 1)", "[4]"),
        ("[].all(x, x > 1)", "true"),
        ("classes.exists(c, c == 'BUSINESS')", "true"),
        ("classes.map(c, string(c))", "['ECONOMY', 'BUSINESS']"),
        // Enums.
        ("class == 'BUSINESS'", "true"),
        ("class in ['ECONOMY']", "false"),
        ("class in classes && 'ECONOMY' in classes", "true"),
        ("string(class)", "'BUSINESS'"),
        ("n > 5 ? class : 'ECONOMY'", "#0"),
        // Dates and times.
        ("day == date('2013-01-01')", "true"),
        ("day < date(2013, 1, 2)", "true"),
        ("day.getFullYear()", "2013"),
        ("at == timestamp('2013-01-01T10:17:00Z')", "true"),
        ("at < micros", "true"),
        ("micros - at", "1µs"),
        ("at + duration('90m')", "2013-01-01T11:47:00Z"),
        (
            "duration('90m') + at - duration('30m')",
            "2013-01-01T11:17:00Z",
        ),
        (
            "at - timestamp('2013-01-01T00:00:00Z') > duration('10h')",
            "true",
        ),
        (
            "duration('1h') + duration('30m') == duration('90m')",
            "true",
        ),
        ("-duration('1h') < duration('0s')", "true"),
        ("at.getHours() + at.getHours('America/New_York')", "15"),
        ("at.getMinutes('+05:30')", "47"),
        ("clock > clock", "false"),
        ("clock.getHours()", "17"),
        ("string(clock)", "'17:00:00'"),
        ("int(at)", "1357035420"),
        ("date(at, 'Pacific/Auckland')", "2013-01-01"),
        // Conversions.
        ("int('12') + int(2.9) + int(price - 0.5)", "26"),
        ("double(n) + double('0.5') + double(price)", "16.0"),
        (
            "string(price) + string(n) + string(rate) + string(true)",
            "'12.5030.5true'",
        ),
        ("bytes('é') == b'\\xc3\\xa9'", "true"),
        ("bool('true') && !bool('0')", "true"),
        ("decimal(n) + price", "15.50"),
        // Nulls.
        ("note.orValue('none')", "'hi'"),
        ("seats.orValue(0)", "0"),
        ("seats.orValue(null) == null", "true"),
        ("seats == null ? -1 : seats + 1", "-1"),
        ("flag.orValue(true)", "true"),
        ("guest.email.orValue('none')", "'none'"),
        ("nobody.email.orValue('none')", "'none'"),
        ("nobody.age.orValue(-1)", "-1"),
        (
            "guest.home.city.orValue('?') + nobody.home.city.orValue('?')",
            "'Ulm?'",
        ),
        ("has(guest.home.city) && guest.home.city == 'Ulm'", "true"),
        ("has(nobody.home.city)", "false"),
        ("nothing.orValue([]).size()", "0"),
        ("nothing.orValue(tags).exists(t, t == 'b')", "true"),
        ("nothing == null || nothing.all(x, x == 'y')", "true"),
        (
            "guest != null && guest.home != null && guest.home.city in ['Ulm', 'Bonn']",
            "true",
        ),
        ("(n > 2 ? note : null) == null", "false"),
        ("local != null", "true"),
    ] {
        let expr = bed
            .compile(text)
            .unwrap_or_else(|faults| panic!("{text}: {faults:?}"));
        let answer = bed
            .eval(&expr)
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(answer, expect, "{text}");
    }
}

#[test]
fn results_have_types() {
    let bed = trip();
    for (text, ty, interned) in [
        ("n + 1", "long", Ok("long")),
        ("n", "int", Ok("int")),
        ("rate * half", "double", Ok("double")),
        ("price + 1", "decimal(11,2)", Ok("decimal(11,2)")),
        ("price * price", "decimal(20,4)", Ok("decimal(20,4)")),
        ("price + tax", "decimal(13,4)", Ok("decimal(13,4)")),
        ("round(price, 1)", "decimal", Ok("decimal(38,1)")),
        ("decimal(name)", "decimal", Err("round(…, 2)")),
        ("decimal('1.50')", "decimal(3,2)", Ok("decimal(3,2)")),
        ("tags", "array of string", Ok("array of string")),
        ("tags.map(t, size(t))", "array of long", Ok("array of long")),
        (
            "scores",
            "array of nullable long",
            Ok("array of nullable long"),
        ),
        (
            "{'a': [note]}",
            "map of array of nullable string",
            Ok("map of array of nullable string"),
        ),
        ("[]", "empty list", Err("empty list")),
        ("duration('1s')", "duration", Err("duration")),
        (
            "at + duration('1s')",
            "timestamp-millis",
            Ok("timestamp-millis"),
        ),
        (
            "timestamp('2026-01-01T00:00:00Z')",
            "timestamp-micros",
            Ok("timestamp-micros"),
        ),
        (
            "guest.email.orValue(note)",
            "nullable string",
            Ok("nullable string"),
        ),
        ("legs[0]", "record air.Leg", Ok("record air.Leg")),
        ("class", "enum air.Class", Ok("enum air.Class")),
        ("clock", "time-millis", Ok("time-millis")),
        (
            "local",
            "local-timestamp-millis",
            Ok("local-timestamp-millis"),
        ),
    ] {
        let expr = bed
            .compile(text)
            .unwrap_or_else(|faults| panic!("{text}: {faults:?}"));
        assert_eq!(expr.ty().describe(&bed.schema), ty, "{text}");
        let mut schema = bed.schema.clone();
        match (expr.ty().intern(&mut schema), interned) {
            (Ok(node), Ok(expect)) => {
                assert_eq!(
                    crate::expr::path::type_name(&schema, node),
                    expect,
                    "{text}"
                );
                // What was made can be written as that type.
                bed.with_cx(|cx| {
                    let value = expr.eval(cx).expect(text);
                    let mut out = Vec::new();
                    crate::expr::value::write(&schema, node, value, &mut out).expect(text);
                });
            }
            (Err(why), Err(expect)) => assert!(why.contains(expect), "{text}: {why}"),
            (got, _) => panic!("{text}: {got:?}"),
        }
    }
}

/// The first fault of each: the spot, a part of the message, a part of the hint.
#[test]
fn what_makes_no_sense_is_refused_at_its_spot() {
    let bed = trip();
    for (text, spot, message, hint) in [
        (
            "'%d'.format([name])",
            "name",
            "`%d` takes a number; this is string",
            "",
        ),
        (
            "'%e'.format([price])",
            "price",
            "`%e` takes an integer or a double",
            "",
        ),
        (
            "'%s'.format([legs])",
            "legs",
            "`%s` takes what can be written",
            "",
        ),
        (
            "'%s'.format([classes])",
            "classes",
            "`%s` takes what can be",
            "",
        ),
        (
            "'%s'.format([note])",
            "note",
            "`note` may be null",
            "orValue",
        ),
        (
            "'%s %s'.format([n])",
            "[n]",
            "2 places, and the list 1 value",
            "",
        ),
        (
            "'%s'.format([n, n])",
            "[n, n]",
            "1 place, and the list 2 values",
            "",
        ),
        ("'%s'.format(tags)", "tags", "are written out as a list", ""),
        (
            "name.format([n])",
            "name",
            "expected a constant: a format",
            "",
        ),
        (
            "n.format([n])",
            "n",
            "a format must be a string; this is int",
            "",
        ),
        ("'%q'.format([n])", "'%q'", "there is no clause `%q`", ""),
        (
            "'%.2s'.format([n])",
            "'%.2s'",
            "there is no clause `%.2s`",
            "",
        ),
        ("'%.101f'.format([n])", "'%.101f'", "from 0 to 100", ""),
        ("'%5d'.format([n])", "'%5d'", "there is no clause `%5d`", ""),
        ("'50%'.format([])", "'50%'", "`%` is no clause", ""),
        (
            "name.quote()",
            "name.quote()",
            "no function `quote`",
            "strings.quote(text)",
        ),
        (
            "n + 'a'",
            "n + 'a'",
            "`+` does not take int and string",
            "string(",
        ),
        (
            "n + rate",
            "n + rate",
            "`+` does not take int and double",
            "double(",
        ),
        (
            "price + rate",
            "price + rate",
            "decimal(10,2) and double",
            "not exact",
        ),
        (
            "price / 3",
            "price / 3",
            "`/` does not take",
            "divide(a, b, 2)",
        ),
        ("price % 3", "price % 3", "`%`", "integers"),
        ("rate % 2.0", "rate % 2.0", "`%`", "integers"),
        (
            "name - 'a'",
            "name - 'a'",
            "`-` does not take string and string",
            "",
        ),
        ("-name", "-name", "`-` does not take string", ""),
        (
            "day + 1",
            "day + 1",
            "does not take date and long",
            "driftgate functions",
        ),
        (
            "seats + 1",
            "seats",
            "`seats` may be null",
            "seats.orValue(",
        ),
        ("scores[0] + 1", "scores[0]", "may be null", "orValue"),
        ("scores.all(s, s > 1)", "s", "`s` may be null", "s != null"),
        (
            "scores.map(s, s != null || true, s + 1)",
            "s",
            "may be null",
            "",
        ),
        ("nothing[0]", "nothing", "`nothing` may be null", "orValue"),
        ("nothing.all(x, true)", "nothing", "may be null", "orValue"),
        ("'a' in nothing", "nothing", "may be null", "orValue"),
        (
            "guest.home.city == 'x'",
            "guest.home",
            "`guest` may be null",
            "guest != null",
        ),
        (
            "guest.age + 1",
            "guest.age",
            "may be null, so it may have no `age`",
            "guest.age.orValue(",
        ),
        (
            "legs[0].gate == 'x'",
            "legs[0].gate",
            "may be null",
            "orValue",
        ),
        (
            "legs.exists(l, l.gate == 'x')",
            "l.gate",
            "`l.gate` may be null",
            "l.gate != null",
        ),
        (
            "legs.exists(l, l.gaet == 'x')",
            "l.gaet",
            "no field `gaet`",
            "`gate`",
        ),
        (
            "legs.exists(leg, lge.miles == 1)",
            "lge",
            "no field `lge`",
            "`leg`",
        ),
        (
            "legs[0].frm",
            "legs[0].frm",
            "air.Leg has no field `frm`",
            "`from`",
        ),
        (
            "legs.from",
            "legs.from",
            "`legs` is array of record air.Leg",
            "",
        ),
        ("tags['a']", "'a'", "elements of a list have numbers", "[0]"),
        ("tags[-1]", "-1", "first element", "tags[size(tags) - 1]"),
        ("props[0]", "0", "keys of a map are texts", ""),
        ("n[0]", "n", "only lists and maps", ""),
        (
            "guest.orValue(null)['age']",
            "guest.orValue(null)",
            "may be null",
            "",
        ),
        (
            "n.all(x, true)",
            "n",
            "only lists and maps have elements",
            "",
        ),
        ("tags.all(t, t)", "t", "must be true or false", ""),
        (
            "tags.all(t, size(t))",
            "size(t)",
            "must be true or false",
            "",
        ),
        (
            "tags.all(t)",
            "tags.all(t)",
            "no function `all`",
            "a name and a condition",
        ),
        (
            "[1, 'a']",
            "[1, 'a']",
            "the elements differ in type: long and string",
            "string(",
        ),
        (
            "[n, 2.5]",
            "[n, 2.5]",
            "differ in type: int and double",
            "double(",
        ),
        (
            "{'a': 1, 'b': 'x'}",
            "{'a': 1, 'b': 'x'}",
            "the values differ",
            "",
        ),
        ("{1: 2}", "1", "keys of a map are texts", "string("),
        ("{'a': 1, 'a': 2}", "'a'", "twice", ""),
        (
            "class == 'BUSINES'",
            "'BUSINES'",
            "no symbol `BUSINES`",
            "`BUSINESS`",
        ),
        (
            "'BUSINES' in classes",
            "'BUSINES'",
            "no symbol",
            "`BUSINESS`",
        ),
        ("classes.exists(c, c == 'X')", "'X'", "no symbol", "ECONOMY"),
        (
            "class + 'x'",
            "class + 'x'",
            "`+` does not take enum",
            "string(",
        ),
        (
            "note.orValue(1)",
            "note.orValue(1)",
            "the values differ in type: string and long",
            "",
        ),
        ("class == name", "name", "cannot be compared", "symbols"),
        (
            "day == at",
            "at",
            "date and timestamp-millis cannot be compared",
            "date(",
        ),
        (
            "at > '2013-01-01'",
            "'2013-01-01'",
            "cannot be compared",
            "timestamp(",
        ),
        (
            "local > at",
            "local",
            "cannot work with a local-timestamp-millis",
            "zone",
        ),
        ("string(local)", "local", "cannot work with", "zone"),
        ("tags == [1]", "[1]", "cannot be compared", "one type"),
        ("name in name", "name", "`in` asks a list", "name.contains("),
        ("type(n)", "type(n)", "no function `type`", "known when"),
        ("dyn(n)", "dyn(n)", "no function `dyn`", "one type"),
        ("uint(n)", "uint(n)", "no function `uint`", "int("),
        ("n == 1u", "1u", "unsigned", "leave the `u`"),
        ("air.Guest{age: 1}", "", "no records", "set its fields"),
        ("name.matches('(')", "'('", "no regular expression", ""),
        (
            "date('2026-02-30') == day",
            "'2026-02-30'",
            "no such day",
            "",
        ),
        (
            "at.getHours('Mars/Base')",
            "'Mars/Base'",
            "no time zone",
            "",
        ),
        (
            "at.getHour()",
            "at.getHour()",
            "no function `getHour`",
            "`getHours`",
        ),
        (
            "getHours(at)",
            "getHours(at)",
            "called on its first argument",
            "(instant: timestamp).getHours()",
        ),
        ("header('x') == null", "header('x')", "none here", ""),
        (
            "int(true)",
            "int(true)",
            "`int` does not take boolean",
            "`int(number: int) -> int`",
        ),
        (
            "startsWith(name, 'a')",
            "startsWith(name, 'a')",
            "called on its first argument",
            "",
        ),
        ("has(name)", "", "has()", ""),
        (
            "e164(n, 'DE')",
            "n",
            "must be a string; this is int",
            "string(",
        ),
    ] {
        let Err(faults) = bed.compile(text) else {
            panic!("{text} compiles");
        };
        let fault = &faults[0];
        if !spot.is_empty() {
            assert_eq!(fault.text, spot, "{text}: {fault:?}");
        }
        assert!(fault.message.contains(message), "{text}: {fault:?}");
        let given = fault.hint.as_deref().unwrap_or_default();
        assert!(given.contains(hint), "{text}: {fault:?}");
    }
}

/// Errors on a record: part of the message, the field. No message holds a value.
#[test]
fn errors_on_a_record_name_the_field() {
    let bed = trip();
    for (text, message, path) in [
        ("n / (n - 3)", "division by zero", "n"),
        ("n % (n - 3)", "division by zero", "n"),
        ("big * big", "`*` is out of the range of a long", "big"),
        ("9223372036854775807 + n", "out of the range", "n"),
        ("-(-9223372036854775807 - n)", "out of the range", "n"),
        ("tags[n]", "no element", "tags"),
        ("tags[n - 9]", "no element", "tags"),
        ("props['z']", "no such key", "props"),
        ("props.z", "no such key", "props"),
        ("legs[0].stops[7]", "no element", "legs"),
        ("int(name)", "int: the text is no whole number", "name"),
        ("int(price)", "int: the number has a fraction", "price"),
        ("double(name)", "double: the text is no number", "name"),
        ("bool(name)", "bool: ", "name"),
        (
            "timestamp(name)",
            "timestamp: expected a timestamp such as",
            "name",
        ),
        (
            "duration(name)",
            "duration: expected a duration such as",
            "name",
        ),
        ("date(name)", "date: expected a date such as", "name"),
        ("decimal(name)", "decimal: ", "name"),
        ("at + duration('87660000h') * 1", "", ""),
        ("name.matches(name + '(')", "no regular expression", ""),
        ("{name: 1, 'Łódź': 2}", "twice", ""),
        ("localTime(day, n * 1000, 'UTC')", "hhmm", ""),
    ] {
        let Ok(expr) = bed.compile(text) else {
            assert!(message.is_empty(), "{text}: {:?}", bed.compile(text).err());
            continue;
        };
        let error = bed.eval(&expr).expect_err(text);
        assert!(error.message.contains(message), "{text}: {error}");
        assert_eq!(error.path, path, "{text}: {error}");
        assert!(
            !error.message.contains("Łódź") && !error.message.contains("9007"),
            "{error}"
        );
    }
}

#[test]
fn an_error_where_nothing_is_evaluated_is_none() {
    let bed = trip();
    for (text, expect) in [
        ("false && 1 / 0 > 1", "false"),
        ("true || 1 / 0 > 1", "true"),
        ("true ? 1 : 1 / 0", "1"),
        ("tags.exists(t, t == 'a' || 1 / 0 > 1)", "true"),
        ("note.orValue(string(1 / 0))", "'hi'"),
    ] {
        let expr = bed.compile(text).expect(text);
        assert_eq!(bed.eval(&expr).as_deref(), Ok(expect), "{text}");
    }
}

/// What a step needs to know to copy a field or write a constant.
#[test]
fn bare_fields_and_constants_are_told() {
    let bed = trip();
    for (text, field, constant) in [
        ("n", Some(&[0][..]), false),
        ("guest", Some(&[25][..]), false),
        ("legs[0]", None, false),
        ("n + 0", None, false),
        ("note.orValue('x')", None, false),
        ("1", None, true),
        ("2 * 3 + 1", None, true),
        ("decimal('1.5')", None, true),
        (
            "timestamp('2026-01-01T00:00:00Z') + duration('1h')",
            None,
            true,
        ),
        ("null", None, true),
        ("1 / 0", None, false),
    ] {
        let expr = bed.compile(text).expect(text);
        assert_eq!(expr.plain_field(), field, "{text}");
        assert_eq!(expr.constant().is_some(), constant, "{text}");
    }
}

/// Results as values of a field's type: what fits, and what it is then.
#[test]
fn results_are_coerced_where_nothing_is_lost() {
    let bed = trip();
    let position = |name: &str| {
        let record = bed.schema.record().expect("a record");
        let node = record.fields[record.index[name]].node;
        bed.schema.non_null(node).expect("one type")
    };
    for (text, target, expect) in [
        ("1", "n", Some("1")),
        ("3000000000", "n", None),
        ("1", "rate", Some("1.0")),
        ("0.1", "half", Some("0.10000000149011612")),
        ("1.5", "price", Some("1.50")),
        ("1.555", "price", None),
        ("price * 2", "price", Some("25.00")),
        ("price * tax", "price", None),
        ("round(price * tax, 2)", "price", Some("12.50")),
        ("decimal('7')", "tax", Some("7.0000")),
        ("n", "big", Some("3")),
        ("big", "n", None),
        ("n + 1", "n", Some("4")),
        ("seats.orValue(0)", "n", Some("0")),
        ("size(name)", "n", None),
        ("n > 1 ? n : 7", "n", Some("3")),
        ("'ECONOMY'", "class", Some("#0")),
        ("seats", "big", Some("null")),
        ("null", "n", Some("null")),
        (
            "ref",
            "name",
            Some("'123e4567-e89b-12d3-a456-426614174000'"),
        ),
        ("name", "ref", None),
        ("[]", "tags", Some("[]")),
        ("tags.filter(t, t == 'b')", "tags", Some("['b']")),
        ("[1]", "tags", None),
        ("at", "micros", Some("2013-01-01T10:17:00Z")),
        ("micros", "at", None),
    ] {
        let expr = bed.compile(text).expect(text);
        let coerced = expr.coerced(&bed.schema, position(target)).expect(text);
        let answer = coerced.map(|expr| bed.eval(&expr).expect(text));
        assert_eq!(answer.as_deref(), expect, "{text} as {target}");
    }
    let expr = bed.compile("'ECONOMIC'").expect("a text");
    assert!(expr.coerced(&bed.schema, position("class")).is_err());
}

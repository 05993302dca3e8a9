//! For tests: schemas and placed texts.

use crate::config::model::{Place, Placed};
use crate::contract::schema::Schema;

/// A schema from its JSON text.
pub(crate) fn schema(json: &str) -> Schema {
    Schema::parse(json, &[]).expect("the test's schema parses")
}

/// A text at line 3, column 5 of `t.yaml`.
pub(crate) fn placed(text: &str) -> Placed<String> {
    Placed {
        value: text.to_owned(),
        place: place(),
    }
}

/// Line 3, column 5 of `t.yaml`.
pub(crate) fn place() -> Place {
    Place {
        file: "t.yaml".to_owned(),
        line: 3,
        column: 5,
    }
}

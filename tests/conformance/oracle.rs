//! The other side: the `cel` crate's interpreter, with its strings extension.

use std::collections::HashMap;
use std::sync::Arc;

use cel::objects::{Key, Map};
use cel::{Context, Env, Program, Value};

use super::data::Data;

/// What the expressions of the `cel` crate may use.
pub(crate) fn environment() -> Arc<Env> {
    let mut env = Env::stdlib();
    env.add_extension(cel::extensions::strings).expect("once");
    Arc::new(env)
}

/// An expression, parsed.
pub(crate) struct Oracle<'e> {
    env: &'e Arc<Env>,
    program: Program,
}

impl<'e> Oracle<'e> {
    pub(crate) fn new(env: &'e Arc<Env>, expr: &str) -> Result<Oracle<'e>, String> {
        let program = env.compile(expr).map_err(|error| error.to_string())?;
        Ok(Oracle { env, program })
    }

    /// Its value over these variables.
    pub(crate) fn evaluate(&self, variables: &[(String, Data)]) -> Result<Data, String> {
        let mut context = Context::with_env(Arc::clone(self.env));
        for (name, data) in variables {
            context.add_variable_from_value(name.clone(), value(data));
        }
        let result = self.program.execute(&context);
        data(&result.map_err(|error| error.to_string())?)
    }
}

fn value(data: &Data) -> Value {
    match data {
        Data::Null => Value::Null,
        Data::Bool(value) => Value::Bool(*value),
        Data::Int(value) => Value::Int(*value),
        Data::Double(value) => Value::Float(*value),
        Data::Text(value) => Value::String(Arc::new(value.clone())),
        Data::Bytes(value) => Value::Bytes(Arc::new(value.clone())),
        Data::List(items) => Value::List(Arc::new(items.iter().map(value).collect())),
        Data::Map(entries) => {
            let entry = |(key, of): &(Data, Data)| match key {
                Data::Text(key) => (Key::String(Arc::new(key.clone())), value(of)),
                other => panic!("{other:?} is no key"),
            };
            map(entries.iter().map(entry).collect())
        }
        Data::Record(fields) => {
            let field =
                |(name, of): &(String, Data)| (Key::String(Arc::new(name.clone())), value(of));
            map(fields.iter().map(field).collect())
        }
        Data::Timestamp(seconds, nanos) => {
            let instant = chrono::DateTime::from_timestamp(*seconds, *nanos).expect("in range");
            Value::Timestamp(instant.fixed_offset())
        }
        Data::Duration(nanos) => {
            let nanos = i64::try_from(*nanos).expect("in range");
            Value::Duration(chrono::Duration::nanoseconds(nanos))
        }
        Data::Foreign(what) => panic!("{what} is not asked of it"),
    }
}

fn map(entries: HashMap<Key, Value>) -> Value {
    Value::Map(Map {
        map: Arc::new(entries),
    })
}

fn data(value: &Value) -> Result<Data, String> {
    Ok(match value {
        Value::Null => Data::Null,
        Value::Bool(value) => Data::Bool(*value),
        Value::Int(value) => Data::Int(*value),
        Value::Float(value) => Data::Double(*value),
        Value::String(value) => Data::Text(value.to_string()),
        Value::Bytes(value) => Data::Bytes(value.to_vec()),
        Value::List(items) => Data::List(items.iter().map(data).collect::<Result<_, _>>()?),
        Value::Map(map) => {
            let entry = |(key, value): (&Key, &Value)| {
                let key = match key {
                    Key::String(key) => Data::Text(key.to_string()),
                    Key::Int(key) => Data::Int(*key),
                    Key::Bool(key) => Data::Bool(*key),
                    Key::Uint(_) => Data::Foreign("an unsigned integer"),
                };
                Ok::<_, String>((key, data(value)?))
            };
            Data::Map(map.map.iter().map(entry).collect::<Result<_, _>>()?)
        }
        Value::Timestamp(instant) => {
            Data::Timestamp(instant.timestamp(), instant.timestamp_subsec_nanos())
        }
        Value::Duration(length) => Data::Duration(
            i128::from(length.num_seconds()) * 1_000_000_000 + i128::from(length.subsec_nanos()),
        ),
        other => return Err(format!("no value of ours: {other:?}")),
    })
}
